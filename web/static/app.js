// The page: log-in, then one view a noun. Every view loads, shows what is there, or says what to do.
import { agendaView, caseView, casesView } from "./cases.js";
import { deskView } from "./desk.js";
import { campaignsView, liveView, placementsView } from "./floor.js";
import { teamView } from "./team.js";
import { Player } from "./player.js";
import { empty, failure, h, keepZone, label, plain, toast, word } from "./show.js";
import { LiveFeed, Problem, ask, keepCsrf } from "./wire.js";

const root = document.getElementById("app");
const player = new Player(document.getElementById("player"));
const VIEWS = [
  { path: "team", may: "supervise", view: teamView },
  { path: "desk", may: "take-calls", view: deskView },
  { path: "live", may: "watch-calls", view: liveView },
  { path: "cases", may: "see-cases", view: casesView },
  { path: "agenda", may: "see-cases", view: agendaView },
  { path: "placements", may: "see-coverage", view: placementsView },
  { path: "campaigns", may: "watch-calls", view: campaignsView },
];

export const app = {
  session: null,
  player,
  listeners: new Set(), // views that follow the live events
  online: false,
  may: (permission) => app.session.permissions.includes(permission),
};

const feed = new LiveFeed({
  onEvents: (events) => app.listeners.forEach((listener) => listener(events)),
  onState: (online) => {
    app.online = online;
    showOnline();
  },
  onEnded: () => signedOut("login.ended"),
});

document.documentElement.dataset.theme = localStorage.getItem("theme") || "";
document.documentElement.dataset.language = localStorage.getItem("language") || "both";

async function begin() {
  try {
    await signedIn(await ask("/sessions/current"));
  } catch (problem) {
    if (problem instanceof Problem && problem.status === 401) showLogIn();
    else if (problem instanceof Problem) root.replaceChildren(failure(problem, begin));
    else throw problem;
  }
}

async function signedIn(session) {
  app.session = session;
  keepCsrf(session.csrf_token);
  keepZone(session.timezone);
  frame();
  if (app.may("watch-calls")) {
    const { as_of: last } = await ask("/calls/live");
    feed.start(last);
  }
  window.onhashchange = show;
  await show();
}

function signedOut(reason) {
  feed.stop();
  player.close();
  app.listeners.clear();
  window.onhashchange = null;
  app.session = null;
  keepCsrf(null);
  showLogIn(reason);
}

function showLogIn(reason) {
  const name = h("input", { name: "username", autocomplete: "username", required: true, maxlength: "64", autofocus: true });
  const password = h("input", { name: "password", type: "password", autocomplete: "current-password", required: true, maxlength: "256" });
  const trouble = h("div", {});
  const go = h("button", { class: "primary", type: "submit" }, label("login.go"));
  const form = h(
    "form",
    {
      class: "login-card",
      onsubmit: async (event) => {
        event.preventDefault();
        go.disabled = true;
        trouble.replaceChildren();
        try {
          await signedIn(await ask("/sessions", { method: "POST", json: { username: name.value.trim(), password: password.value } }));
        } catch (problem) {
          trouble.replaceChildren(failure(problem));
          password.select();
        } finally {
          go.disabled = false;
        }
      },
    },
    h("div", { class: "brand big" }, h("img", { src: "/static/mark.svg", alt: "" }), "onrecord"),
    h("p", { class: "quiet" }, label("app.motto")),
    reason && h("p", { class: "note" }, label(reason)),
    h("label", {}, label("login.name"), name),
    h("label", {}, label("login.password"), password),
    trouble,
    go,
  );
  root.replaceChildren(h("main", { class: "login" }, form));
  name.focus();
}

function frame() {
  const links = VIEWS.filter(({ may }) => app.may(may)).map(({ path }) => h("a", { href: `#/${path}`, "data-path": path }, h("i", { class: `icon ${path}`, "aria-hidden": "true" }), label(`nav.${path}`)));
  root.replaceChildren(
    h(
      "div",
      { class: "frame" },
      h(
        "nav",
        { class: "rail" },
        h("a", { class: "brand", href: "#/" }, h("img", { src: "/static/mark.svg", alt: "" }), h("span", {}, "onrecord")),
        h("div", { class: "links" }, links),
        h(
          "div",
          { class: "rail-foot" },
          app.may("watch-calls") && h("div", { id: "online", class: "online" }),
          h("div", { class: "who" }, h("strong", {}, app.session.user?.display_name || app.session.name), h("span", { class: "quiet" }, app.session.roles.map((role) => word("role", role)))),
          h(
            "div",
            { class: "rail-buttons" },
            h("button", { class: "plain", type: "button", title: plain("any.theme"), "aria-label": plain("any.theme"), onclick: turnTheme }, "◐"),
            h("button", { class: "plain", type: "button", title: plain("any.language"), "aria-label": plain("any.language"), onclick: turnLanguage }, "文A"),
            h("button", { class: "plain", type: "button", onclick: logOut }, label("login.out")),
          ),
        ),
      ),
      h("main", { id: "view", tabindex: "-1" }),
    ),
  );
  showOnline();
}

function showOnline() {
  const place = document.getElementById("online");
  if (!place) return;
  place.dataset.on = String(app.online);
  place.replaceChildren(label(app.online ? "live.connected" : "live.connecting"));
}

async function logOut() {
  try {
    await ask("/sessions/current", { method: "DELETE" });
  } catch (problem) {
    toast(problem.message, "bad");
  }
  signedOut();
}

function turnTheme() {
  const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("theme", document.documentElement.dataset.theme);
  player.draw();
}

function turnLanguage() {
  const order = ["both", "zh", "en"];
  const next = order[(order.indexOf(document.documentElement.dataset.language) + 1) % order.length];
  document.documentElement.dataset.language = next;
  localStorage.setItem("language", next);
}

let leave = () => {};

async function show() {
  const place = document.getElementById("view");
  if (!place) return;
  leave();
  leave = () => {};
  const [path, id] = location.hash.replace(/^#\/?/, "").split("/");
  const allowed = VIEWS.filter(({ may }) => app.may(may));
  const chosen = allowed.find((one) => one.path === path) || allowed[0];
  for (const link of document.querySelectorAll(".links a")) link.toggleAttribute("aria-current", link.dataset.path === chosen?.path);
  if (!chosen) {
    place.replaceChildren(empty("any.none"));
    return;
  }
  const view = chosen.path === "cases" && id ? caseView : chosen.view;
  const mine = h("div", { class: "view" }, h("p", { class: "loading" }, label("any.loading")));
  place.replaceChildren(mine);
  try {
    const left = await view(app, mine, id && decodeURIComponent(id));
    if (mine.isConnected) leave = left || (() => {});
    else left?.();
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (problem.status === 401) signedOut("login.ended");
    else mine.replaceChildren(failure(problem, show));
  }
}

begin();
