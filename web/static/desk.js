// The collector's screen: state, who is coming, the call, the outcome. One thing at a time, and nothing lost by a reload.
import { ask } from "./wire.js";
import { owedForms } from "./outcome.js";
import { failure, h, label, length, money, pill, plain, toastProblem, word } from "./show.js";

const LOOK_AGAIN_MS = 5000; // when no event came: another node, another process

export const desk = (name, path = "") => `/agents/${encodeURIComponent(name)}${path}`;

// What both pages do: send a verb, say what went wrong, look again.
export const act = (path, json, after) => async () => {
  try {
    await ask(path, { method: "POST", json });
  } catch (problem) {
    toastProblem(problem);
  }
  await after();
};

// Only what changed is drawn again: what is being typed stays.
function part(element) {
  let stamp;
  return (facts, draw) => {
    const now = JSON.stringify(facts);
    if (now === stamp) return;
    stamp = now;
    element.replaceChildren(...[draw()].flat(Infinity).filter(Boolean));
  };
}

export async function deskView(app, place) {
  const me = app.session.name;
  const head = h("div", { class: "desk-head" });
  const coming = h("div", {});
  const call = h("div", {});
  const offer = h("div", {});
  const owed = h("div", {});
  const trouble = h("div", {});
  const draw = { head: part(head), coming: part(coming), call: part(call), offer: part(offer) };
  const showOwed = owedForms(owed, refresh);
  let skew = 0;
  let reasons = [];
  let others = [];

  const verb = (path, json) => act(desk(me, path), json, refresh);

  let asking = null;
  async function refresh() {
    if (asking) return (asking.again = true);
    asking = { again: false };
    try {
      const agents = await ask("/agents");
      reasons = agents.pause_reasons;
      others = agents.items.filter((one) => one.id !== me);
      const mine = agents.items.find((one) => one.id === me);
      skew = new Date(agents.now).getTime() - Date.now();
      show(mine ? await ask(desk(me, "/desk")) : null);
      trouble.replaceChildren();
    } catch (problem) {
      trouble.replaceChildren(failure(problem, refresh));
    } finally {
      const { again } = asking;
      asking = null;
      if (again) setTimeout(refresh, 100);
    }
  }

  function show(screen) {
    const agent = screen?.agent;
    draw.head([agent && { ...agent, call_id: null }, reasons, Boolean(screen?.owed.length)], () => headPart(agent, screen));
    draw.coming([screen?.coming, agent?.state], () => (screen?.coming ? whoPart(screen.coming, agent) : !agent ? null : quiet(agent)));
    const free = others.filter((one) => one.state === "ready").map((one) => [one.id, one.name, one.is_leader]);
    draw.call([screen?.call, free], () => screen?.call && callPart(screen.call, free));
    draw.offer(screen?.offer, () => screen?.offer && offerPart(screen.offer));
    showOwed(screen?.owed || []);
    tick();
  }

  function headPart(agent, screen) {
    if (!agent || agent.state === "offline") {
      const box = h("input", { name: "desk", maxlength: "64", placeholder: app.session.user?.desk || me, "aria-label": plain("desk.phone") });
      const go = h("button", { type: "button", class: "primary", onclick: async () => {
        go.disabled = true;
        await verb("/log-in", box.value.trim() ? { desk: box.value.trim() } : {})();
        go.disabled = false;
      } }, label("desk.in"));
      return [h("div", { class: "state-now" }, pill("agent", "offline", "paused"), h("span", { class: "quiet" }, label("desk.in.hint"))), h("div", { class: "desk-buttons" }, box, go)];
    }
    const busy = ["reserved", "talking", "wrap-up"].includes(agent.state);
    const reason = h("select", { name: "reason", "aria-label": plain("desk.reason") }, reasons.map((one) => h("option", { value: one }, pauseWords(one))));
    const ready = h("button", { type: "button", class: "primary", disabled: agent.state !== "paused" || screen.owed.length > 0, onclick: verb("/ready") }, label("desk.ready"));
    const pause = h("button", { type: "button", disabled: agent.state === "paused" || Boolean(agent.pause_wanted), onclick: () => verb("/pause", { reason: reason.value })() }, label(busy ? "desk.pause.after" : "desk.pause"));
    return [
      h("div", { class: "state-now", "data-agent-state": agent.state },
        pill("agent", agent.state), h("span", { class: "clock", "data-since": agent.since }, ""),
        agent.reason && agent.state === "paused" && word("pause", agent.reason),
        agent.pause_wanted && h("span", { class: "quiet" }, label("desk.then"), " ", word("pause", agent.pause_wanted))),
      h("div", { class: "desk-buttons" }, ready, reason, pause, h("button", { type: "button", class: "plain", disabled: busy, onclick: verb("/log-out") }, label("desk.out"))),
    ];
  }

  function callPart(one, free) {
    const talks = one.state === "bridged";
    const mine = one.agent_id === me;
    const guests = Object.entries(one.guests);
    const keypad = h("div", { class: "keypad", hidden: true }, [..."123456789*0#"].map((key) => h("button", { type: "button", "data-key": key, onclick: verb("/call/keys", { digits: key }) }, key)));
    const whom = h("select", { name: "whom", "aria-label": plain("desk.whom") }, free.length ? free.map(([id, name, leads]) => h("option", { value: id }, leads ? `${name}（${plain("desk.leader")}）` : name)) : h("option", { value: "" }, plain("desk.nobody")));
    const consulted = guests.some(([, how]) => ["aside", "talks"].includes(how));
    return h("section", { class: "card call-card", "data-state": one.state, "data-held": String(one.held) },
      h("div", { class: "call-line" }, pill("state", one.state), h("b", { class: "call-clock", "data-since": one.answered_at || one.placed_at }, "0:00"), one.held && h("span", { class: "pill", "data-tone": "warn" }, label("desk.held")), !mine && h("span", { class: "pill" }, word("part", one.part))),
      guests.length > 0 && h("p", { class: "guests" }, guests.map(([name, how]) => h("span", { class: "pill", "data-tone": "ringing" }, `${name} · `, word("part", how)))),
      h("div", { class: "desk-buttons" },
        h("button", { type: "button", "data-verb": "hold", disabled: !talks || !mine, onclick: verb("/call/hold", { on: !one.held }) }, label(one.held ? "desk.resume" : "desk.hold")),
        h("button", { type: "button", "data-verb": "keys", disabled: !talks || !mine, onclick: () => (keypad.hidden = !keypad.hidden) }, label("desk.keys")),
        h("button", { type: "button", class: "danger", "data-verb": "hang-up", disabled: !mine, onclick: verb("/call/hang-up") }, label("desk.hangup"))),
      keypad,
      mine && h("div", { class: "desk-buttons transfer" },
        whom,
        h("button", { type: "button", "data-verb": "consult", disabled: !talks || !free.length, onclick: () => verb("/call/consult", { agent: whom.value })() }, label("desk.consult")),
        h("button", { type: "button", "data-verb": "three-way", disabled: !consulted, onclick: verb("/call/three-way") }, label("desk.three")),
        h("button", { type: "button", "data-verb": "hand-over", disabled: !consulted, onclick: verb("/call/hand-over") }, label("desk.over")),
        h("button", { type: "button", "data-verb": "take-back", disabled: !guests.length, onclick: verb("/call/take-back") }, label("desk.back"))));
  }

  function offerPart(one) {
    const why = h("input", { name: "why", required: true, maxlength: "200", placeholder: plain("offer.why"), "aria-label": plain("offer.why") });
    return h("section", { class: "card offer" },
      h("h2", {}, label("offer.title"), " ", h("span", { class: "clock", "data-until": one.until }, "")),
      h("div", { class: "desk-buttons" },
        h("button", { type: "button", class: "primary", "data-verb": "accept", onclick: verb("/offer/accept") }, label("offer.accept")),
        h("form", { class: "skip", onsubmit: (event) => { event.preventDefault(); verb("/offer/skip", { reason: why.value.trim() })(); } }, why, h("button", { type: "submit", "data-verb": "skip" }, label("offer.skip")))));
  }

  function tick() {
    const now = Date.now() + skew;
    for (const clock of place.querySelectorAll("[data-since]")) clock.textContent = length((now - new Date(clock.dataset.since)) / 1000);
    for (const clock of place.querySelectorAll("[data-until]")) clock.textContent = length((new Date(clock.dataset.until) - now) / 1000);
  }

  const follow = (events) => {
    if (events.some(({ kind }) => /^(agent|call|preview|outcome)\./.test(kind))) refresh();
  };
  app.listeners.add(follow);
  place.replaceChildren(h("header", { class: "head" }, h("h1", {}, label("nav.desk"))), trouble, h("div", { class: "card" }, head), h("div", { class: "desk-columns" }, h("div", {}, coming, offer), h("div", {}, call, owed)));
  await refresh();
  const ticking = setInterval(tick, 1000);
  const looking = setInterval(refresh, LOOK_AGAIN_MS);
  return () => {
    app.listeners.delete(follow);
    clearInterval(ticking);
    clearInterval(looking);
  };
}

export const pauseWords = (code) => plain(`pause.${code}`).replace("pause.", "");

function quiet(agent) {
  return h("section", { class: "card quiet-desk" }, h("p", { class: "quiet" }, label(agent.state === "ready" ? "desk.waiting" : agent.state === "wrap-up" ? "desk.wrap" : "desk.nothing")));
}

// What the agent is told of the person: the number masked, no amount where a third party listens.
function whoPart(who, agent) {
  const third = who.third_party;
  return h("section", { class: "card who-card", "data-third": String(third) },
    h("h2", {}, label(agent.state === "talking" ? "who.now" : "who.coming")),
    h("p", { class: "whisper" }, word("channel", who.channel), " ", h("strong", {}, who.contact), h("span", { class: "quiet" }, `（${who.relation}）`)),
    third && h("p", { class: "note third" }, label("who.third")),
    h("dl", {},
      h("dt", {}, label("live.number")), h("dd", { class: "number" }, who.number),
      h("dt", {}, label("case.debtor")), h("dd", {}, who.debtor),
      h("dt", {}, label("case.client")), h("dd", {}, `${who.client} · ${who.client_ref}`),
      h("dt", {}, label("case.balance")), h("dd", { class: "amount" }, who.balance ? money(who.balance) : h("span", { class: "quiet" }, label("who.hidden"))),
      h("dt", {}, label("case.outcome")), h("dd", {}, word("outcome", who.last_outcome))),
    h("p", {}, h("a", { href: `#/cases/${who.case_id}` }, label("who.case"), " →")));
}
