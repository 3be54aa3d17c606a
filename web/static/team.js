// The leader's floor: who does what, for how long; an ear in a call; modes, pace and what it costs.
import { ask } from "./wire.js";
import { act, desk, pauseWords } from "./desk.js";
import { owedForms } from "./outcome.js";
import { empty, failure, h, label, length, pill, plain, table, toastProblem, word } from "./show.js";

const MODES = ["manual", "preview", "progressive", "predictive"];
const REASONS = ["routine-check", "coaching", "complaint"];
const LOOK_AGAIN_MS = 3000;

export async function teamView(app, place) {
  const me = app.session.name;
  const tiles = h("div", { class: "tiles" });
  const agents = h("tbody", {});
  const list = table([{ key: "live.agent" }, { key: "live.state" }, { key: "team.time", class: "right" }, { key: "team.call" }, { key: "team.ear" }, { key: "" }], [], { class: "team" });
  list.querySelector("tbody").replaceWith(agents);
  const nobody = empty("team.nobody", "team.nobody.hint");
  const campaigns = h("div", { class: "campaigns" });
  const owed = h("div", {});
  const trouble = h("div", {});
  const why = h("select", { name: "ear-reason", "aria-label": plain("team.reason") }, REASONS.map((one) => h("option", { value: one }, plain(`ear.${one}`))));
  const mine = h("span", { class: "quiet small" });
  const showOwed = owedForms(owed, refresh);
  const opened = new Set();
  let skew = 0;
  let stamp = "";

  let asking = null;
  async function refresh() {
    if (asking) return (asking.again = true);
    asking = { again: false };
    try {
      const [floor, live, running, owing] = await Promise.all([ask("/agents"), ask("/calls/live"), ask("/campaigns"), ask("/agents/owed")]);
      skew = new Date(floor.now).getTime() - Date.now();
      showAgents(floor, new Map(live.calls.map((call) => [call.call_id, call])));
      await showCampaigns(running.items);
      showOwed(owing.items.filter((one) => one.owner === "leader"));
      trouble.replaceChildren();
    } catch (problem) {
      trouble.replaceChildren(failure(problem, refresh));
    } finally {
      const { again } = asking;
      asking = null;
      if (again) setTimeout(refresh, 300);
    }
  }

  function showAgents({ items }, calls) {
    const my = items.find((one) => one.id === me);
    const atDesk = my && my.state !== "offline";
    mine.replaceChildren(label(atDesk ? "team.atdesk" : "team.nodesk"), atDesk ? "" : h("a", { href: "#/desk" }, " →"));
    const count = (state) => items.filter((one) => !one.is_leader && one.state === state).length;
    tiles.replaceChildren(...["ready", "talking", "wrap-up", "paused"].map((state) => h("div", { class: `tile ${state}` }, h("b", {}, String(count(state))), word("agent", state))));
    nobody.hidden = items.length > 0;
    list.hidden = items.length === 0;
    const now = JSON.stringify([items, [...calls.values()]]);
    if (now === stamp) return;
    stamp = now;
    agents.replaceChildren(...items.map((one) => agentRow(one, calls.get(one.call_id), my)));
    tick();
  }

  function agentRow(one, call, my) {
    const path = (verb) => desk(one.id, verb);
    const ear = (verb) => h("button", { type: "button", class: "plain", "data-verb": verb, disabled: !my || !["ready", "talking"].includes(my.state), onclick: () => act(path(`/call/${verb}`), { reason: why.value }, refresh)() }, label(`ear.${verb}`));
    const others = one.id !== me && !one.is_leader;
    const away = ["offline", "paused"].includes(one.state);
    return h("tr", { "data-agent": one.id },
      h("td", {}, h("strong", {}, one.name), h("div", { class: "quiet small" }, one.is_leader ? label("desk.leader") : one.desk)),
      h("td", {}, pill("agent", one.state), " ", one.reason && one.state === "paused" ? word("pause", one.reason) : "", one.owes ? h("span", { class: "pill", "data-tone": "warn" }, label("team.owes")) : ""),
      h("td", { class: "right clock", "data-since": one.since || "" }, ""),
      h("td", {}, call ? [h("span", { class: "number" }, call.number), " ", word("channel", call.channel), " ", h("a", { href: `#/cases/${call.case_id}` }, "→")] : h("span", { class: "quiet" }, "–")),
      h("td", { class: "ears" }, others && one.state === "talking" ? [ear("listen"), ear("whisper"), ear("join")] : one.id === me && one.state === "talking" ? h("button", { type: "button", onclick: act(desk(me, "/call/leave"), {}, refresh) }, label("ear.leave")) : ""),
      h("td", { class: "right verbs" }, others ? [h("button", { type: "button", class: "plain", disabled: away, title: pauseWords("meeting"), onclick: act(path("/pause"), { reason: "meeting" }, refresh) }, label("desk.pause")), h("button", { type: "button", class: "plain", onclick: act(path("/log-out"), {}, refresh) }, label("desk.out"))] : ""));
  }

  const cards = new Map(); // campaign id → {card, fill}
  async function showCampaigns(items) {
    for (const one of items) {
      if (!cards.has(one.id)) {
        cards.set(one.id, campaignCard(one.id));
        campaigns.append(cards.get(one.id).card);
      }
    }
    await Promise.all(items.map((one) => cards.get(one.id).fill(one)));
  }

  function campaignCard(id) {
    const path = `/campaigns/${encodeURIComponent(id)}`;
    const title = h("div", {});
    const account = h("div", { class: "account" });
    const pace = h("div", { class: "pace" });
    const gates = h("div", {});
    let button = h("button", { type: "button" });
    const mode = h("select", { name: "mode", "aria-label": plain("team.mode"), onchange: async () => {
      try {
        await ask(`${path}/mode`, { method: "POST", json: { mode: mode.value } });
      } catch (problem) {
        toastProblem(problem);
      }
      await refresh();
    } }, MODES.map((one) => h("option", { value: one }, plain(`mode.${one}`))));
    const explain = async () => {
      const said = await ask(`${path}/explanation`);
      gates.replaceChildren(h("div", { class: "gates" }, h("p", { class: said.dialing ? "good" : "bad" }, label(said.dialing ? "camp.dialing" : "camp.held")),
        h("ul", {}, said.gates.filter((gate) => gate.holds_back || gate.count).map((gate) => h("li", { "data-holds": String(gate.holds_back) }, h("i", { class: "dot", "aria-hidden": "true" }), h("strong", {}, word("gate", gate.name)), h("span", {}, h("span", { class: "zh" }, gate.detail_zh), h("span", { class: "en" }, gate.detail_en)), h("span", { class: "count quiet" }, gate.count ? `×${gate.count}` : ""))))));
    };
    const asked = h("button", { type: "button", class: "plain", onclick: () => {
      if (opened.delete(id)) return gates.replaceChildren();
      opened.add(id);
      explain().catch(toastProblem);
    } }, label("camp.why"));
    const buttons = h("div", { class: "campaign-buttons" }, asked, mode, button);
    const card = h("section", { class: "card campaign", "data-campaign": id }, h("div", { class: "campaign-head" }, title, buttons), account, pace, gates);
    let last = "";

    async function fill(one) {
      const told = await ask(`${path}/pace`);
      if (opened.has(id)) await explain();
      const now = JSON.stringify([one, told]);
      if (now === last) return;
      last = now;
      const running = one.state === "running";
      title.replaceChildren(h("h2", {}, one.name, " ", pill("state", one.state)), h("p", { class: "quiet" }, `${one.client} · `, label("camp.now"), ` ${one.calls_now} / ${one.lines} · `, label("camp.remaining"), ` ${one.remaining}`));
      if (document.activeElement !== mode) mode.value = one.mode;
      mode.disabled = one.state === "finished" || !app.may("run-campaigns");
      const fresh = h("button", { type: "button", class: running ? "" : "primary", disabled: mode.disabled, onclick: act(`${path}/${running ? "pause" : "start"}`, {}, refresh) }, label(running ? "camp.pause" : "camp.start"));
      button.replaceWith(fresh);
      button = fresh;
      account.replaceChildren(abandonment(told));
      pace.replaceChildren(...paceWords(told));
    }

    return { card, fill };
  }

  function tick() {
    const now = Date.now() + skew;
    for (const clock of place.querySelectorAll("[data-since]")) clock.textContent = clock.dataset.since ? length((now - new Date(clock.dataset.since)) / 1000) : "–";
  }

  let waiting = null;
  const follow = () => (waiting ??= setTimeout(() => { waiting = null; refresh(); }, 300));
  app.listeners.add(follow);
  place.replaceChildren(
    h("header", { class: "head" }, h("h1", {}, label("nav.team")), tiles),
    trouble,
    owed,
    h("div", { class: "ear-bar" }, h("label", { class: "inline" }, label("team.reason"), why), mine),
    nobody,
    list,
    h("h2", { class: "below" }, label("nav.campaigns")),
    campaigns,
  );
  await refresh();
  const ticking = setInterval(tick, 1000);
  const looking = setInterval(refresh, LOOK_AGAIN_MS);
  return () => {
    app.listeners.delete(follow);
    clearTimeout(waiting);
    clearInterval(ticking);
    clearInterval(looking);
  };
}

const percent = (share) => `${(100 * share).toFixed(2)}%`;

// Abandonment of 30 days on a scale that ends a little above the limit.
function abandonment(told) {
  const most = told.limit * 1.25 || 0.01;
  const at = (share) => `${Math.min(100, (100 * share) / most)}%`;
  const tone = told.abandonment_30_days > told.limit ? "bad" : told.abandonment_30_days > told.target ? "warn" : "good";
  const fill = h("i", { class: "fill" });
  const target = h("i", { class: "mark" });
  const limit = h("i", { class: "mark hard" });
  fill.style.width = at(told.abandonment_30_days);
  target.style.left = at(told.target);
  limit.style.left = at(told.limit);
  return h("div", { class: "abandonment", "data-tone": tone },
    h("div", { class: "account-words" }, label("team.abandonment"), " ", h("b", {}, percent(told.abandonment_30_days)), h("span", { class: "quiet" }, ` ${told.abandoned_30_days} / ${told.answered_30_days} · `, label("team.target"), ` ${percent(told.target)} · `, label("team.limit"), ` ${percent(told.limit)}`)),
    h("div", { class: "scale" }, fill, target, limit));
}

function paceWords(told) {
  if (told.place === null) return [];
  const { why } = told;
  const fact = (name, value) => value !== undefined && h("span", {}, label(`pace.${name}`), " ", h("b", {}, value));
  return [h("p", { class: "pace-line" }, label("pace.last"), " ", h("b", {}, `+${told.place}`), " · ", label("pace.bound"), " ", word("binding", why.binding)),
    h("p", { class: "quiet pace-facts" }, [fact("idle", why.idle), fact("ringing", why.ringing), fact("waiting", why.waiting), fact("chance", why.answer_chance !== undefined ? percent(why.answer_chance) : undefined), fact("talk", why.talk_mean !== undefined ? length(why.talk_mean) : undefined), told.ledger_room !== null && fact("room", told.ledger_room.toFixed(1))])];
}
