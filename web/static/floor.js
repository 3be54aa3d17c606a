// The floor: calls as they happen, campaigns, placements.
import { ask } from "./wire.js";
import { clockTime, empty, failure, h, label, length, pill, plain, table, toast, toastProblem, word } from "./show.js";

const KEPT_SECONDS = 20; // how long an ended call stays in sight
const KEPT_EVENTS = 40;

export async function liveView(app, place) {
  const rows = new Map(); // call id → {call, row, endedAt}
  const body = h("tbody", {});
  const nothing = empty("live.empty", "live.empty.hint");
  const list = table([{ key: "live.state" }, { key: "live.number" }, { key: "live.channel" }, { key: "live.agent" }, { key: "live.seconds", class: "right" }, { key: "live.cause" }, { key: "live.case" }], [], { class: "live" });
  list.querySelector("tbody").replaceWith(body);
  const events = h("ol", { class: "ticker" }, h("li", { class: "quiet none" }, label("live.events.empty")));
  const tiles = { total: h("b", {}, "0"), ringing: h("b", {}, "0"), talking: h("b", {}, "0") };
  const causes = new Map();
  const trouble = h("div", {});

  function apply(picture) {
    const now = Date.now();
    const alive = new Set(picture.calls.map((call) => call.call_id));
    for (const call of picture.calls) {
      const known = rows.get(call.call_id) || { row: h("tr", {}) };
      known.call = call;
      known.endedAt = null;
      rows.set(call.call_id, known);
      if (!known.row.isConnected) body.prepend(known.row);
    }
    for (const [id, one] of rows) {
      if (alive.has(id)) continue;
      one.endedAt ??= now;
      if (now - one.endedAt > KEPT_SECONDS * 1000) {
        one.row.remove();
        rows.delete(id);
        causes.delete(id);
      }
    }
    paint();
  }

  function paint() {
    const now = Date.now() + app.skew;
    let ringing = 0;
    let talking = 0;
    let total = 0;
    for (const [id, one] of rows) {
      const { call } = one;
      const state = one.endedAt ? "ended" : call.state;
      if (!one.endedAt) total++;
      if (["ringing", "early", "proceeding", "placed"].includes(state)) ringing++;
      if (["answered", "bridged"].includes(state)) talking++;
      const since = new Date(call.answered_at || call.placed_at).getTime();
      const seconds = (one.endedAt ? one.endedAt + app.skew : now) - since;
      const stamp = `${state} ${Math.floor(seconds / 1000)} ${call.agent} ${causes.get(id)}`;
      if (one.stamp === stamp) continue;
      one.stamp = stamp;
      one.row.className = one.endedAt ? "over" : "";
      one.row.dataset.call = id;
      one.row.replaceChildren(
        h("td", {}, pill("state", state)),
        h("td", { class: "number" }, call.number),
        h("td", {}, word("channel", call.channel)),
        h("td", {}, call.agent || h("span", { class: "quiet" }, "–")),
        h("td", { class: "right clock" }, length(seconds / 1000)),
        h("td", {}, causes.has(id) || call.cause ? word("cause", causes.get(id) || call.cause) : h("span", { class: "quiet" }, "–")),
        h("td", {}, call.case_id && app.may("see-cases") ? h("a", { href: `#/cases/${call.case_id}` }, "→") : ""),
      );
    }
    tiles.total.textContent = total;
    tiles.ringing.textContent = ringing;
    tiles.talking.textContent = talking;
    nothing.hidden = rows.size > 0;
    list.hidden = rows.size === 0;
  }

  let asking = false;
  let again = false;
  async function refresh() {
    if (asking) {
      again = true;
      return;
    }
    asking = true;
    try {
      const picture = await ask("/calls/live");
      app.skew = new Date(picture.now).getTime() - Date.now();
      apply(picture);
      trouble.replaceChildren();
    } catch (problem) {
      trouble.replaceChildren(failure(problem, refresh));
    } finally {
      asking = false;
      // At most one picture in 300 ms, however many events there are.
      if (again) setTimeout(() => { again = false; refresh(); }, 300);
    }
  }

  function note(batch) {
    for (const event of batch) {
      const call = event.data.call_id || event.subject_id;
      if (call && event.data.cause) causes.set(call, event.data.cause);
    }
    events.querySelector(".none")?.remove();
    events.prepend(...batch.slice(-KEPT_EVENTS).reverse().map(eventLine));
    while (events.children.length > KEPT_EVENTS) events.lastChild.remove();
    refresh();
  }

  app.skew ??= 0;
  // Followed before the first picture is asked for: what happens meanwhile is in the picture, or asks for the next one.
  app.listeners.add(note);
  await refresh();
  const ticking = setInterval(() => {
    for (const one of rows.values()) if (one.endedAt && Date.now() - one.endedAt > KEPT_SECONDS * 1000) return refresh();
    paint();
  }, 1000);
  place.replaceChildren(
    h("header", { class: "head" }, h("h1", {}, label("nav.live")),
      h("div", { class: "tiles" }, ["total", "ringing", "talking"].map((name) => h("div", { class: `tile ${name}` }, tiles[name], label(`live.${name}`))))),
    trouble,
    h("div", { class: "columns floor" }, h("div", {}, nothing, list), h("section", { class: "card" }, h("h2", {}, label("live.events")), events)),
  );
  return () => {
    app.listeners.delete(note);
    clearInterval(ticking);
  };
}

function eventLine(event) {
  const { data } = event;
  const facts = [data.number, data.old && data.new ? `${data.old} → ${data.new}` : data.new || data.state, data.cause, data.progress, data.rule, data.outcome, data.action, data.agent, data.actor, data.trunk, data.name];
  return h("li", {}, h("span", { class: "clock quiet" }, clockTime(event.at)), h("span", { class: "event-kind" }, word("event", event.kind)), h("span", { class: "quiet" }, facts.filter(Boolean).join(" · ")));
}

export async function campaignsView(app, place) {
  const list = h("div", { class: "campaigns" });
  const opened = new Set();

  async function refresh() {
    const { items } = await ask("/campaigns");
    list.replaceChildren(...(items.length ? await Promise.all(items.map(card)) : [empty("camp.empty")]));
  }

  async function card(one) {
    const why = h("div", { class: "why" });
    const running = one.state === "running";
    const button = h("button", { type: "button", class: running ? "" : "primary", disabled: one.state === "finished" || !app.may("run-campaigns"), onclick: async () => {
      button.disabled = true;
      try {
        await ask(`/campaigns/${encodeURIComponent(one.id)}/${running ? "pause" : "start"}`, { method: "POST" });
        opened.add(one.id);
      } catch (problem) {
        toastProblem(problem);
      }
      await refresh().catch(toastProblem);
    } }, label(running ? "camp.pause" : "camp.start"));
    const explain = async () => {
      try {
        why.replaceChildren(explanation(await ask(`/campaigns/${encodeURIComponent(one.id)}/explanation`)));
        opened.add(one.id);
      } catch (problem) {
        why.replaceChildren(failure(problem, explain));
      }
    };
    if (opened.has(one.id)) await explain();
    const figure = (name, value, tone) => h("div", { class: "figure", "data-tone": tone }, h("b", {}, String(value)), label(`camp.${name}`));
    const all = one.attempted + one.remaining;
    return h("section", { class: "card campaign", "data-campaign": one.id },
      h("div", { class: "campaign-head" }, h("div", {}, h("h2", {}, one.name, " ", pill("state", one.state)), h("p", { class: "quiet" }, `${one.client} · `, label(`mode.${one.mode}`))), h("div", { class: "campaign-buttons" }, h("button", { type: "button", class: "plain", onclick: explain }, label("camp.why")), button)),
      h("progress", { max: String(all || 1), value: String(one.attempted), "aria-label": plain("camp.attempted") }),
      h("div", { class: "figures" }, figure("now", one.calls_now), figure("attempted", one.attempted), figure("remaining", one.remaining), figure("answered", one.answered), figure("abandoned", one.abandoned, one.abandoned ? "bad" : ""), figure("lines", one.lines), figure("agents", one.agents)),
      why);
  }

  let waiting = null;
  const follow = () => (waiting ??= setTimeout(() => { waiting = null; refresh().catch(toastProblem); }, 1500));
  app.listeners.add(follow); // before the first look: see liveView
  await refresh();
  place.replaceChildren(h("header", { class: "head" }, h("h1", {}, label("nav.campaigns"))), list);
  return () => {
    app.listeners.delete(follow);
    clearTimeout(waiting);
  };
}

function explanation({ dialing, gates }) {
  return h("div", { class: "gates" },
    h("p", { class: dialing ? "good" : "bad" }, label(dialing ? "camp.dialing" : "camp.held")),
    h("ul", {}, gates.map((gate) => h("li", { "data-holds": String(gate.holds_back) },
      h("i", { class: "dot", "aria-hidden": "true" }), h("strong", {}, word("gate", gate.name)), h("span", {}, h("span", { class: "zh" }, gate.detail_zh), h("span", { class: "en" }, gate.detail_en)), h("span", { class: "count quiet" }, gate.count ? `×${gate.count}` : "")))));
}

export async function placementsView(app, place) {
  const list = h("div", { class: "placements" });
  async function refresh() {
    const { items } = await ask("/placements", { query: { limit: 50 } });
    list.replaceChildren(...(items.length ? items.map(coverage) : [empty("place.empty")]));
  }
  await refresh();
  place.replaceChildren(h("header", { class: "head" }, h("h1", {}, label("nav.placements"))), app.may("load-placements") ? upload(refresh) : "", list);
}

function coverage(one) {
  const share = one.permitted ? Math.round((one.attempted / one.permitted) * 100) : 0;
  const rules = Object.entries(one.refused_by_rule).map(([rule, count]) => h("li", {}, h("span", { class: "code" }, rule), ` ×${count}`));
  const untried = h("div", {});
  return h("section", { class: "card placement" },
    h("div", { class: "campaign-head" }, h("div", {}, h("h2", {}, one.placement), h("p", { class: "quiet" }, `${one.client} · ${one.cases} `, label("place.cases"), ` · ${one.numbers} `, label("place.numbers"))), h("div", { class: "share" }, h("b", {}, `${share}%`), label("place.coverage"))),
    h("progress", { max: String(one.permitted || 1), value: String(one.attempted), "aria-label": plain("place.coverage") }),
    h("div", { class: "figures" }, ["permitted", "attempted", "answered", "refused"].map((name) => h("div", { class: "figure" }, h("b", {}, String(one[name])), label(`place.${name}`)))),
    rules.length ? h("ul", { class: "rules" }, rules) : null,
    h("button", { type: "button", class: "plain", onclick: async () => {
      try {
        const full = await ask(`/placements/${encodeURIComponent(one.placement_id)}/coverage`);
        untried.replaceChildren(full.untried.length ? table([{ key: "live.number" }, { key: "live.channel" }, { key: "case.rule" }, { key: "case.until" }], full.untried.slice(0, 100).map((number) => h("tr", {}, h("td", { class: "number" }, h("a", { href: `#/cases/${number.case_id}` }, number.number)), h("td", {}, word("channel", number.channel)), h("td", { class: "code" }, number.rule), h("td", {}, number.until ? new Date(number.until).toLocaleString() : "–")))) : h("p", { class: "quiet" }, label("any.none")));
      } catch (problem) {
        untried.replaceChildren(failure(problem));
      }
    } }, label("place.untried")),
    untried);
}

function upload(refresh) {
  const client = h("input", { required: true, maxlength: "64", name: "client" });
  const file = h("input", { type: "file", accept: ".csv,.xlsx", required: true, name: "file" });
  const report = h("div", { class: "report" });
  const send = async (dry) => {
    if (!form.reportValidity()) return;
    const body = new FormData();
    body.append("file", file.files[0]);
    for (const button of form.querySelectorAll("button")) button.disabled = true;
    try {
      const result = await ask("/placements", { method: "POST", form: body, query: { client: client.value.trim(), dry_run: String(dry) } });
      report.replaceChildren(intake(result));
      if (!dry) {
        toast([label("place.loaded")], "good");
        await refresh();
      }
    } catch (problem) {
      report.replaceChildren(failure(problem));
    } finally {
      for (const button of form.querySelectorAll("button")) button.disabled = false;
    }
  };
  const form = h("form", { class: "card upload", onsubmit: (event) => { event.preventDefault(); send(true); } },
    h("h2", {}, label("place.upload")),
    h("div", { class: "upload-row" }, h("label", {}, label("place.client"), client), h("label", {}, label("place.file"), file), h("button", { type: "submit" }, label("place.dry")), h("button", { type: "button", class: "primary", onclick: () => send(false) }, label("place.load"))),
    report);
  return form;
}

function intake(result) {
  const head = result.repeated ? label("place.repeated") : result.dry_run ? label("place.nothing") : label("place.loaded");
  return h("div", {}, h("p", { class: "note" }, head, `：${result.rows} `, label("place.rows"), ` · ${result.cases} `, label("place.cases"), ` · ${result.numbers} `, label("place.numbers")),
    result.rejected.length ? [h("h3", { class: "bad" }, `${result.rejected.length} `, label("place.rejected")), table([{ key: "place.row", class: "right" }, { key: "place.field" }, { key: "place.problem" }, { key: "place.remedy" }], result.rejected.slice(0, 200).map((row) => h("tr", {}, h("td", { class: "right" }, String(row.row)), h("td", { class: "code" }, row.field), h("td", {}, row.problem, row.shape ? h("div", { class: "quiet small" }, row.shape) : null), h("td", {}, row.remedy))))] : null);
}
