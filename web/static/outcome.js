// The outcome of a call: required before the next one, the same form at the desk and on the leader's floor.
import { ask } from "./wire.js";
import { failure, h, label, money, plain, toast, word } from "./show.js";

const BY_DEBTOR = ["SELF_PROMISE", "SELF_RAISING_FUNDS", "SELF_NEGOTIATING", "PROMISE_REMINDED", "PROMISE_CONFIRMED", "FRAUD_CLAIM"];
const BY_CONTACT = ["THIRD_PARTY_NEGOTIATING", "MESSAGE_LEFT_1", "MESSAGE_LEFT_2"];
const ANYBODY = ["NO_SUCH_PERSON", "LEFT_JOB", "MOVED", "NUMBER_INVALID", "DISPUTE", "COMPLAINT", "HARDSHIP", "DECEASED", "INCAPABLE", "REFUSED_CONTACT", "NO_ANSWER"];
const WITH_AMOUNT = new Set(["SELF_PROMISE"]);
const WITH_DAY = new Set(["SELF_PROMISE", "SELF_RAISING_FUNDS"]);

// owed: {call_id, who}. onEntered is called once the outcome is kept.
function outcomeForm(owed, onEntered) {
  const { who } = owed;
  const own = who.channel === "workplace" ? [...BY_DEBTOR, ...BY_CONTACT] : who.third_party ? BY_CONTACT : BY_DEBTOR;
  const id = `outcome-${owed.call_id}`;
  const choices = [...own, ...ANYBODY].map((code) => h("label", { class: "choice" }, h("input", { type: "radio", name: id, value: code, required: true, onchange: chosen }), word("outcome", code)));
  const amount = h("input", { name: "amount", type: "number", min: "0.01", step: "0.01", inputmode: "decimal" });
  const day = h("input", { name: "on", type: "date" });
  const note = h("textarea", { name: "note", rows: "2", maxlength: "2000" });
  const amountRow = h("label", { hidden: true }, h("span", {}, label("out.amount"), who.balance && h("span", { class: "quiet small" }, " ≤ ", money(who.balance))), amount);
  const dayRow = h("label", { hidden: true }, label("out.day"), day);
  const trouble = h("div", {});
  const go = h("button", { type: "submit", class: "primary" }, label("out.enter"));

  function code() {
    return form.querySelector(`input[name="${id}"]:checked`)?.value;
  }

  function chosen() {
    amountRow.hidden = !WITH_AMOUNT.has(code());
    dayRow.hidden = !WITH_DAY.has(code());
    amount.required = !amountRow.hidden;
    day.required = !dayRow.hidden;
  }

  const form = h(
    "form",
    {
      class: "card outcome-form",
      "data-owed": owed.call_id,
      onsubmit: async (event) => {
        event.preventDefault();
        go.disabled = true;
        trouble.replaceChildren();
        const json = { outcome: code(), note: note.value.trim() };
        if (!amountRow.hidden) json.amount = amount.value;
        if (!dayRow.hidden) json.on = day.value;
        try {
          await ask(`/calls/${encodeURIComponent(owed.call_id)}/outcome`, { method: "POST", json });
          toast([label("out.entered")], "good");
          onEntered();
        } catch (problem) {
          trouble.replaceChildren(failure(problem));
        } finally {
          go.disabled = false;
        }
      },
    },
    h("h2", {}, label("out.title")),
    h("p", { class: "quiet" }, `${who.client_ref} · ${who.contact} · `, h("span", { class: "number" }, who.number)),
    h("fieldset", { class: "choices", "aria-label": plain("out.title") }, choices),
    h("div", { class: "outcome-facts" }, amountRow, dayRow),
    h("label", {}, label("out.note"), note),
    trouble,
    go,
  );
  return form;
}

/** Forms for what is owed, in `place`: one a call, and one that is being filled in stays as it is. */
export function owedForms(place, onEntered) {
  const forms = new Map();
  return (list) => {
    const wanted = new Set(list.map((one) => one.call_id));
    for (const [id, form] of forms) {
      if (wanted.has(id)) continue;
      form.remove();
      forms.delete(id);
    }
    for (const one of list) {
      if (forms.has(one.call_id)) continue;
      forms.set(one.call_id, outcomeForm(one, onEntered));
      place.append(forms.get(one.call_id));
    }
  };
}
