// Cases: the list, one case with everything on it, and the agenda.
import { ask } from "./wire.js";
import { empty, failure, h, label, length, money, pair, pill, plain, table, toast, toastProblem, when, word } from "./show.js";

const PAGE = 50;

// A list that grows a page at a time, by the key the server gave.
async function paged(path, query, place, row) {
  const more = h("button", { type: "button", class: "more", onclick: () => load().catch(toastProblem) }, label("any.more"));
  let after = null;
  let shown = 0;
  async function load() {
    const page = await ask(path, { query: { ...query, after, limit: PAGE } });
    after = page.after;
    shown += page.items.length;
    place.append(...page.items.map(row));
    more.hidden = !after;
  }
  await load();
  return { more, shown };
}

export async function casesView(app, place) {
  const results = h("div", {});
  let asked = 0;
  async function find(search) {
    const mine = ++asked;
    const body = h("tbody", {});
    const { more, shown } = await paged("/cases", { search }, body, caseLine);
    if (mine !== asked) return;
    const list = table(
      [{ key: "case.ref" }, { key: "case.debtor" }, { key: "case.balance", class: "right" }, { key: "case.outcome" }, { key: "case.next" }, { key: "case.due" }, { key: "case.attempts", class: "right" }, { key: "case.recordings", class: "right" }, { key: "case.state" }],
      [],
      { class: "cases" },
    );
    list.querySelector("tbody").replaceWith(body);
    results.replaceChildren(...(shown ? [list, more] : [search ? empty("case.notfound") : empty("case.empty", "case.empty.hint")]));
  }
  let pause;
  const box = h("input", { type: "search", class: "search", placeholder: plain("any.search"), "aria-label": plain("any.search"), maxlength: "64", oninput: () => {
    clearTimeout(pause);
    pause = setTimeout(() => find(box.value.trim()).catch((problem) => results.replaceChildren(failure(problem))), 250);
  } });
  await find("");
  place.replaceChildren(h("header", { class: "head" }, h("h1", {}, label("nav.cases")), box), results);
}

function caseLine(one) {
  const open = () => (location.hash = `#/cases/${one.id}`);
  return h(
    "tr",
    { class: "link", tabindex: "0", onclick: open, onkeydown: (event) => event.key === "Enter" && open() },
    h("td", {}, h("a", { href: `#/cases/${one.id}`, class: "ref" }, one.client_ref), h("div", { class: "quiet small" }, one.client)),
    h("td", {}, one.debtor),
    h("td", { class: "right" }, money(one.balance)),
    h("td", {}, word("outcome", one.last_outcome)),
    h("td", {}, one.next_action ? pair(...actionWords(one.next_action)) : h("span", { class: "quiet" }, "–")),
    h("td", {}, one.next_action ? when(one.next_action.latest) : "–"),
    h("td", { class: "right" }, String(one.attempts)),
    h("td", { class: "right" }, String(one.recordings)),
    h("td", {}, pill("state", one.state)),
  );
}

// An action's code is the SOP's own; made readable where the table of words has nothing better.
function actionWords(action) {
  const ACTIONS = {
    SWEEP: ["首催", "First sweep"],
    CALL_DEBTOR: ["致电本人", "Call the debtor"],
    CONFIRM_PROMISE: ["确认还款", "Confirm the promise"],
    REMIND: ["还款提醒", "Remind"],
    REMIND_PROMISE: ["还款提醒", "Remind of the promise"],
    FOLLOW_UP: ["跟催", "Follow up"],
    REDIAL: ["换时段重拨", "Redial"],
    PRESS_AGAIN: ["再次施压", "Press again"],
    CONTACT_AGAIN: ["再次联系", "Contact again"],
    LOOK_UP: ["电话查找", "Phone look-up"],
    ENTER_OUTCOME: ["录入通话结果", "Enter the call's outcome"],
    VISIT: ["外访", "Visit"],
    HOLD: ["停催转合规", "Hold for compliance"],
    SETTLE_PROMISE: ["核对还款", "Settle the promise"],
    PROGRESS_CALL: ["筹款进度", "Ask how the funds come along"],
    CALL_CONTACT: ["跟进第三人", "Call the contact"],
    CALL_BACK: ["约定回拨", "Call back as agreed"],
    REQUEST_REGISTRY: ["调户籍", "Request the registry"],
    PROPOSE_VISIT: ["建议外访", "Propose a visit"],
    APPROVE_VISIT: ["审批外访单", "Approve the visit"],
    CONFIRM_FRAUD: ["冒办核实", "Confirm the fraud claim"],
    SIGN_DECLARATION: ["签未申办声明", "Sign the declaration"],
    SEND_PACKET: ["冒办材料送银行", "Send the packet to the bank"],
    AWAIT_BANK: ["等银行回复", "Await the bank"],
    REVIEW_HOLD: ["合规处理", "Review by compliance"],
    DECIDE: ["主管处理", "For the leader to decide"],
  };
  const code = action.action.toUpperCase().replaceAll("-", "_");
  const text = code.toLowerCase().replaceAll("_", " ");
  return ACTIONS[code] || [text, text];
}

export async function caseView(app, place, id) {
  const page = await ask(`/cases/${encodeURIComponent(id)}`);
  const { case: row } = page;
  const recordings = new Map(page.recordings.map((one) => [one.id, one]));
  const listen = (recording, title) => () => app.player.open(recording, title);
  place.replaceChildren(
    h(
      "header",
      { class: "head case-head" },
      h("a", { class: "back", href: "#/cases", "aria-label": plain("any.back") }, "←"),
      h("div", {}, h("h1", {}, row.debtor, " ", pill("state", row.state)), h("p", { class: "quiet" }, `${row.client} · ${row.client_ref} · ${row.placement}`)),
      h("div", { class: "balance" }, h("span", { class: "quiet small" }, label("case.balance")), money(row.balance)),
    ),
    h(
      "div",
      { class: "columns" },
      h("div", { class: "side-column" }, nextCard(page.next_actions), numbersCard(app, row, page.numbers)),
      h("section", { class: "card" }, h("h2", {}, label("case.timeline")), h("ol", { class: "timeline" }, timeline(page, recordings, listen, app.may("listen"), row))),
    ),
  );
}

function nextCard(actions) {
  if (!actions.length) return h("section", { class: "card" }, h("h2", {}, label("case.next")), h("p", { class: "quiet" }, label("case.nonext")));
  return h(
    "section",
    { class: "card next" },
    h("h2", {}, label("case.next")),
    actions.map((action) => [
      h("div", { class: "next-action" }, pair(...actionWords(action))),
      h("dl", {}, h("dt", {}, label("case.window")), h("dd", {}, when(action.earliest), " – ", when(action.latest)), h("dt", {}, label("case.owner")), h("dd", {}, word("role", action.owner)), h("dt", {}, label("case.why")), h("dd", {}, h("div", { class: "reason" }, pair(action.reason_zh, action.reason_en))), action.escalation && [h("dt", {}, label("case.escalation")), h("dd", {}, action.escalation.includes(" ") ? action.escalation : word("role", action.escalation))]),
    ]),
  );
}

function numbersCard(app, row, numbers) {
  return h(
    "section",
    { class: "card" },
    h("h2", {}, label("case.numbers")),
    h("ul", { class: "numbers" }, numbers.map((one) =>
      h("li", { "data-state": one.state },
        h("div", {}, h("span", { class: "number" }, one.number), one.state !== "live" && pill("state", one.state)),
        h("div", { class: "quiet small" }, word("channel", one.channel), ` · ${one.contact} · ${one.relation}`),
        app.may("take-calls") && one.state === "live" && row.state === "open" && callButton(app, row.id, one),
        h("div", { class: "tries quiet small", title: plain("case.attempts") }, `×${one.attempts}`)))),
  );
}

// Click-to-call goes the way of every call: a rule may say no, and says which.
function callButton(app, caseId, number) {
  const trouble = h("div", {});
  const button = h("button", { type: "button", class: "listen", "data-call-number": number.id, onclick: async () => {
    button.disabled = true;
    trouble.replaceChildren();
    try {
      await ask(`/agents/${encodeURIComponent(app.session.name)}/calls`, { method: "POST", json: { case_id: caseId, number_id: number.id } });
      toast([label("case.calling")], "good");
      location.hash = "#/desk";
    } catch (problem) {
      trouble.replaceChildren(failure(problem));
    } finally {
      button.disabled = false;
    }
  } }, "☎ ", label("case.call"));
  return h("div", {}, button, trouble);
}

function timeline(page, recordings, listen, mayListen, row) {
  const attempts = page.attempts.map((one) => ({ at: one.booked_at, node: attemptEntry(one, recordings, listen, mayListen, row) }));
  const covered = new Set(["attempt", "call", "refusal", "recording"]);
  const others = page.timeline.filter((one) => !covered.has(one.kind)).map((one) => ({ at: one.at, node: otherEntry(one) }));
  const all = [...attempts, ...others].sort((a, b) => (a.at < b.at ? 1 : -1));
  return all.length ? all.map((one) => one.node) : empty("any.none");
}

function attemptEntry(one, recordings, listen, mayListen, row) {
  const head = h("div", { class: "entry-head" }, h("strong", {}, word("channel", one.channel)), h("span", { class: "number" }, one.number), h("span", { class: "quiet small" }, when(one.booked_at)));
  if (one.refusal) {
    const { rule, figure, source, until } = one.refusal;
    return h("li", { class: "entry refused" }, head,
      h("div", { class: "refusal" },
        h("div", { class: "refusal-title" }, label("case.refused")),
        h("dl", {}, h("dt", {}, label("case.rule")), h("dd", { class: "code" }, rule), h("dt", {}, label("case.figure")), h("dd", {}, figure || "–"), h("dt", {}, label("case.source")), h("dd", {}, source || "–"), h("dt", {}, label("case.until")), h("dd", {}, until ? when(until) : label("any.never")))));
  }
  const recording = recordings.get(one.recording_id);
  const audible = recording && ["sealed", "empty"].includes(recording.state);
  return h("li", { class: `entry ${one.answered ? "answered" : "unanswered"}` }, head,
    h("div", { class: "entry-facts" },
      h("span", {}, label("case.network", "tag"), word("progress", one.progress || one.cause), one.sip_status ? h("span", { class: "code quiet" }, ` SIP ${one.sip_status}`) : null),
      one.outcome && h("span", {}, label("case.person", "tag"), word("outcome", one.outcome)),
      one.answered && h("span", {}, label("case.talk", "tag"), length(one.talk_seconds)),
      one.agent && h("span", {}, label("live.agent", "tag"), one.agent),
      !one.progress && !one.cause && pill("state", one.state)),
    audible && mayListen && h("button", { type: "button", class: "listen", "data-recording": recording.id, onclick: listen(recording, h("span", {}, `${row.debtor} · `, one.number, " · ", when(one.booked_at))) }, "▶ ", label("case.listen"), ` ${length(recording.seconds)}`));
}

function otherEntry(one) {
  return h("li", { class: `entry ${one.kind}` }, h("div", { class: "entry-head" }, h("strong", {}, word("event", one.kind)), one.actor && h("span", {}, one.actor), h("span", { class: "quiet small" }, when(one.at))), h("div", { class: "reason" }, one.summary_zh === one.summary_en ? one.summary_zh : pair(one.summary_zh, one.summary_en)));
}

export async function agendaView(app, place) {
  const body = h("tbody", {});
  const now = new Date();
  const { more, shown } = await paged("/next-actions", {}, body, (one) => {
    const late = new Date(one.latest) < now;
    const today = new Date(one.latest).toDateString() === now.toDateString();
    return h("tr", { class: "link", tabindex: "0", onclick: () => (location.hash = `#/cases/${one.case_id}`), onkeydown: (event) => event.key === "Enter" && (location.hash = `#/cases/${one.case_id}`) },
      h("td", {}, when(one.latest), " ", late ? h("span", { class: "pill", "data-tone": "bad" }, label("agenda.overdue")) : today ? h("span", { class: "pill", "data-tone": "warn" }, label("agenda.today")) : null),
      h("td", {}, h("strong", {}, pair(...actionWords(one)))),
      h("td", {}, h("a", { href: `#/cases/${one.case_id}`, class: "ref" }, one.client_ref)),
      h("td", {}, word("role", one.owner)),
      h("td", { class: "wide" }, h("div", { class: "reason small" }, pair(one.reason_zh, one.reason_en))));
  });
  const list = table([{ key: "case.due" }, { key: "case.next" }, { key: "case.ref" }, { key: "case.owner" }, { key: "case.why" }], []);
  list.querySelector("tbody").replaceWith(body);
  place.replaceChildren(h("header", { class: "head" }, h("h1", {}, label("nav.agenda"))), ...(shown ? [list, more] : [empty("agenda.empty")]));
}
