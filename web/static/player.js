// The player: HTML audio over the ranged endpoint, the stored waveform of both channels, all by keyboard.
import { ask } from "./wire.js";
import { failure, h, label, length, plain } from "./show.js";

const LEAP = 3;
const SPEEDS = [0.75, 1, 1.25, 1.5, 2];

export class Player {
  constructor(place) {
    this.place = place;
    this.audio = null;
    this.peaks = null;
    document.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(place);
  }

  close() {
    this.audio?.pause();
    this.audio?.removeAttribute("src");
    this.audio?.load();
    this.audio = null;
    this.place.hidden = true;
    document.body.classList.remove("with-player");
  }

  async open(recording, title) {
    if (this.audio) this.close();
    this.recording = recording;
    this.peaks = null;
    this.audio = h("audio", { src: `/api/v1/recordings/${encodeURIComponent(recording.id)}/audio`, preload: "metadata", id: "sound" });
    this.canvas = h("canvas", { class: "wave", "aria-hidden": "true" });
    this.track = h(
      "div",
      { class: "track", role: "slider", tabindex: "0", "aria-label": plain("play.play"), "aria-valuemin": "0", onpointerdown: (event) => this.grab(event) },
      h("span", { class: "side agent" }, label("play.agent")),
      h("span", { class: "side customer" }, label("play.customer")),
      this.canvas,
    );
    this.now = h("span", { class: "clock" }, "0:00");
    this.whole = h("span", { class: "clock quiet" }, length(recording.seconds));
    this.button = h("button", { class: "play", type: "button", title: plain("play.play"), "aria-label": plain("play.play"), onclick: () => this.toggle() });
    this.speed = h("select", { title: plain("play.speed"), "aria-label": plain("play.speed"), onchange: () => (this.audio.playbackRate = Number(this.speed.value)) },
      SPEEDS.map((rate) => h("option", { value: String(rate), selected: rate === 1 }, `${rate}×`)));
    this.trouble = h("div", {});
    this.place.replaceChildren(
      this.audio,
      h("div", { class: "player-head" },
        h("div", { class: "player-title" }, title),
        h("div", { class: "player-facts quiet" },
          recording.gaps ? h("span", { class: "warn" }, `${recording.gaps} `, label("play.gaps")) : null,
          recording.sha256 && h("span", { title: recording.sha256 }, label("play.hash"), " ", h("code", {}, recording.sha256.slice(0, 12))),
          h("span", { class: "logged" }, label("play.logged")),
          h("span", { class: "keys" }, label("play.keys"))),
        h("button", { class: "plain close", type: "button", title: plain("any.close"), "aria-label": plain("any.close"), onclick: () => this.close() }, "✕")),
      h("div", { class: "player-row" },
        h("div", { class: "player-buttons" },
          h("button", { class: "plain leap", type: "button", title: plain("play.back"), "aria-label": plain("play.back"), onclick: () => this.leap(-LEAP) }, "−3"),
          this.button,
          h("button", { class: "plain leap", type: "button", title: plain("play.forward"), "aria-label": plain("play.forward"), onclick: () => this.leap(LEAP) }, "+3")),
        h("div", { class: "clocks" }, this.now, this.whole),
        this.track,
        this.speed),
      this.trouble,
    );
    this.place.hidden = false;
    document.body.classList.add("with-player");
    for (const happening of ["play", "pause", "ended"]) this.audio.addEventListener(happening, () => this.follow());
    this.audio.addEventListener("timeupdate", () => this.draw());
    this.audio.addEventListener("durationchange", () => this.draw());
    this.audio.addEventListener("error", () => this.fail());
    this.follow();
    this.play();
    try {
      const peaks = await ask(`/recordings/${encodeURIComponent(recording.id)}/peaks`);
      if (this.recording === recording) this.peaks = peaks;
    } catch (problem) {
      this.trouble.replaceChildren(failure(problem));
    }
    this.draw();
  }

  async fail() {
    if (!this.audio?.getAttribute("src")) return;
    try {
      await ask(`/recordings/${encodeURIComponent(this.recording.id)}`);
      this.trouble.replaceChildren(failure({ message: "录音无法播放 · The recording cannot be played", remedy: "onrecord verify", errorId: `media-${this.audio.error?.code}` }));
    } catch (problem) {
      this.trouble.replaceChildren(failure(problem));
    }
  }

  get seconds() {
    const known = this.audio?.duration;
    return Number.isFinite(known) && known > 0 ? known : this.recording?.seconds || 0;
  }

  play() {
    this.audio.play().catch(() => this.follow()); // a browser may want a click first; the button shows it
  }

  toggle() {
    if (this.audio.paused) this.play();
    else this.audio.pause();
  }

  leap(seconds) {
    this.seek(this.audio.currentTime + seconds);
  }

  seek(second) {
    this.audio.currentTime = Math.min(Math.max(0, second), Math.max(0, this.seconds - 0.05));
    this.draw();
  }

  grab(event) {
    const move = (one) => {
      const box = this.canvas.getBoundingClientRect();
      this.seek(((one.clientX - box.left) / box.width) * this.seconds);
    };
    move(event);
    this.track.setPointerCapture(event.pointerId);
    this.track.onpointermove = move;
    this.track.onpointerup = this.track.onpointercancel = () => (this.track.onpointermove = null);
  }

  key(event) {
    if (!this.audio || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest?.("input, select, textarea")) return;
    const act = { " ": () => this.toggle(), ArrowLeft: () => this.leap(-LEAP), ArrowRight: () => this.leap(LEAP), Escape: () => this.close() }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  follow() {
    if (!this.audio) return;
    this.button.dataset.playing = String(!this.audio.paused && !this.audio.ended);
    const step = () => {
      this.draw();
      if (this.audio && !this.audio.paused && !this.audio.ended) requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  draw() {
    if (!this.audio || this.place.hidden) return;
    this.now.textContent = length(this.audio.currentTime);
    this.whole.textContent = length(this.seconds);
    this.track.setAttribute("aria-valuemax", String(Math.round(this.seconds)));
    this.track.setAttribute("aria-valuenow", String(Math.round(this.audio.currentTime)));
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const scale = window.devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * scale) || this.canvas.height !== Math.round(height * scale)) {
      this.canvas.width = Math.round(width * scale);
      this.canvas.height = Math.round(height * scale);
    }
    const paint = this.canvas.getContext("2d");
    paint.setTransform(scale, 0, 0, scale, 0, 0);
    paint.clearRect(0, 0, width, height);
    const style = getComputedStyle(this.place);
    const played = this.seconds ? (this.audio.currentTime / this.seconds) * width : 0;
    const lanes = this.peaks?.channels || [];
    lanes.forEach((lane, index) => {
      const middle = (height / lanes.length) * (index + 0.5);
      const reach = height / lanes.length / 2 - 2;
      const loudest = Math.max(24, ...lane.map(([low, high]) => Math.max(-low, high)));
      const hue = style.getPropertyValue(index === 0 ? "--agent" : "--customer");
      for (let x = 0; x < width; x += 3) {
        const from = Math.floor((x / width) * lane.length);
        const to = Math.max(from + 1, Math.floor(((x + 3) / width) * lane.length));
        let peak = 0;
        for (let place = from; place < to && place < lane.length; place++) peak = Math.max(peak, -lane[place][0], lane[place][1]);
        const tall = Math.max(0.75, (peak / loudest) * reach);
        paint.globalAlpha = x <= played ? 1 : 0.35;
        paint.fillStyle = hue;
        paint.beginPath();
        paint.roundRect(x, middle - tall, 2, tall * 2, 1);
        paint.fill();
      }
    });
    paint.globalAlpha = 1;
    paint.fillStyle = style.getPropertyValue("--ink");
    paint.fillRect(Math.min(played, width - 1.5), 0, 1.5, height);
  }
}
