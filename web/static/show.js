// Building blocks of the page. Text only ever becomes text nodes: nothing from the server is parsed as HTML.
import { LABELS, WORDS } from "./labels.js";

export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && name !== "list" && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function both([zh, en], extra = "") {
  return h("span", { class: `both ${extra}`.trim() }, h("span", { class: "zh", lang: "zh" }, zh), h("span", { class: "en", lang: "en" }, en));
}

export const label = (key, extra) => both(LABELS[key] || [key, key], extra);

// For attributes, where there is room for text only.
export function plain(key) {
  const [zh, en] = LABELS[key] || [key, key];
  const language = document.documentElement.dataset.language;
  return language === "zh" ? zh : language === "en" ? en : `${zh} · ${en}`;
}

export function word(group, code) {
  if (!code) return h("span", { class: "quiet" }, "–");
  const found = WORDS[group]?.[code];
  return found ? both(found) : h("span", { class: "code" }, String(code));
}

export const pair = (zh, en) => both([zh, en]);

export function pill(group, code, tone = code) {
  return h("span", { class: "pill", "data-tone": tone }, word(group, code));
}

let dayTime;
let clock;

// Times are shown in the house's own zone, wherever the browser is.
export function keepZone(timeZone) {
  const time = { hour: "2-digit", minute: "2-digit", hour12: false, timeZone };
  dayTime = new Intl.DateTimeFormat("zh-CN", { month: "2-digit", day: "2-digit", ...time });
  clock = new Intl.DateTimeFormat("zh-CN", { ...time, second: "2-digit" });
}

export function when(text) {
  if (!text) return "–";
  const date = new Date(text);
  return h("time", { datetime: text, title: date.toLocaleString() }, dayTime.format(date));
}

export const clockTime = (text) => clock.format(new Date(text));

export function money({ amount, currency }) {
  const value = Number(amount).toLocaleString("zh-CN", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  return h("span", { class: "money" }, h("span", { class: "quiet" }, currency), " ", value);
}

export function length(seconds) {
  const whole = Math.max(0, Math.floor(seconds || 0));
  const minutes = Math.floor(whole / 60);
  return `${minutes}:${String(whole % 60).padStart(2, "0")}`;
}

export function empty(key, hint) {
  return h("div", { class: "empty" }, h("div", { class: "empty-mark", "aria-hidden": "true" }), h("p", {}, label(key)), hint && h("p", { class: "quiet" }, label(hint)));
}

const said = (problem) => (LABELS[`error.${problem.errorId}`] ? label(`error.${problem.errorId}`) : problem.message);

export function failure(problem, retry) {
  return h(
    "div",
    { class: "failure", role: "alert" },
    h("strong", {}, said(problem)),
    problem.remedy && h("p", {}, label("any.remedy"), "：", problem.remedy),
    h("p", { class: "quiet code" }, problem.errorId || "page", problem.field ? ` · ${problem.field}` : ""),
    retry && h("button", { type: "button", onclick: retry }, label("any.retry")),
  );
}

export function toast(content, tone = "plain") {
  const note = h("div", { class: "toast", "data-tone": tone }, [content]);
  document.getElementById("toasts").append(note);
  setTimeout(() => note.remove(), tone === "bad" ? 9000 : 4000);
}

export const toastProblem = (problem) =>
  toast([h("strong", {}, said(problem)), problem.remedy ? h("div", { class: "quiet" }, problem.remedy) : null], "bad");

export function table(heads, rows, attributes = {}) {
  return h(
    "div",
    { class: "scroll" },
    h("table", attributes, h("thead", {}, h("tr", {}, heads.map((head) => h("th", { class: head.class, scope: "col" }, head.key ? label(head.key) : "")))), h("tbody", {}, rows)),
  );
}
