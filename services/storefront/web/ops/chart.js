// Charts over time, by uPlot: loaded with the first page that has one.
import uPlot from "../vendor/uplot.js";

const HEIGHT = 170;
const clock = (seconds) => new Date(seconds * 1000).toISOString().slice(11, 16);

/** A chart of one series: `times` in seconds, `values` with null where there is none. */
export class Chart extends HTMLElement {
  connectedCallback() {
    this._watching = new ResizeObserver(() => this._plot?.setSize({width: this.clientWidth, height: HEIGHT}));
    this._watching.observe(this);
    this._scheme = matchMedia("(prefers-color-scheme: dark)");
    this._redraw = () => this._draw();
    this._scheme.addEventListener("change", this._redraw);
  }

  disconnectedCallback() {
    this._watching.disconnect();
    this._scheme.removeEventListener("change", this._redraw);
    this._plot?.destroy();
    this._plot = null;
  }

  /** What is shown: {times, values, format, color}; `color` is a property of the style sheet. */
  set shown(shown) {
    const isSame = this._plot && this._shown.color === shown.color;
    this._shown = shown;
    if (isSame) this._plot.setData([shown.times, shown.values]);
    else queueMicrotask(() => this.isConnected && this._draw());
  }

  _draw() {
    this._plot?.destroy();
    const {times, values, format, color} = this._shown;
    // light-dark() is resolved by the browser: a canvas needs the colour itself.
    const resolve = (name) => {
      this.style.color = `var(--${name})`;
      return getComputedStyle(this).color;
    };
    const [line, grid, ink] = [resolve(color), resolve("line"), resolve("faint")];
    const axis = {stroke: ink, grid: {stroke: grid, width: 1}, ticks: {stroke: grid, width: 1}};
    this._plot = new uPlot({
      width: this.clientWidth, height: HEIGHT, legend: {show: false}, cursor: {drag: {x: false, y: false}},
      scales: {y: {range: (_, __, most) => [0, most > 0 ? most * 1.15 : 1]}},
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
      axes: [{...axis, values: (_, ticks) => ticks.map(clock)}, {...axis, size: 68, values: (_, ticks) => ticks.map(format)}],
      series: [{}, {stroke: line, width: 2, points: {show: false}}],
    }, [times, values], this);
  }
}

customElements.define("ops-chart", Chart);
