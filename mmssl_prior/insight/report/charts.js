// Elements, numbers, tooltips and line charts.
'use strict';

const SVG = 'http://www.w3.org/2000/svg';

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else if (key === 'style' && typeof value === 'object') for (const k in value) node.style.setProperty(k, value[k]);
    else node.setAttribute(key, value);
  }
  for (const child of children.flat(3)) {
    if (child !== null && child !== undefined && child !== false) node.append(child);
  }
  return node;
}
const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

const whole = (x) => Math.round(x).toLocaleString('en');
const percent = (x, digits) => {
  const value = 100 * x;
  if (digits !== undefined) return `${value.toFixed(digits)} %`;
  return `${value >= 9.95 ? value.toFixed(0) : +value.toPrecision(2)} %`;
};
const short = (x) => {
  if (x === 0) return '0';
  const size = Math.abs(x);
  if (size >= 1000) return whole(x);
  if (size >= 10) return String(+x.toFixed(size >= 100 ? 0 : 1));
  return size >= 0.01 ? String(+x.toFixed(size >= 1 ? 2 : 3)) : x.toExponential(1);
};

const tip = {
  node: document.getElementById('tip'),
  show(x, y, ...content) {
    this.node.replaceChildren(...content);
    this.node.hidden = false;
    const box = this.node.getBoundingClientRect();
    const left = x + 16 + box.width > innerWidth ? x - 16 - box.width : x + 16;
    const top = Math.max(8, Math.min(innerHeight - box.height - 8, y - box.height / 2));
    this.node.style.left = `${Math.max(8, left)}px`;
    this.node.style.top = `${top}px`;
  },
  hide() { this.node.hidden = true; },
};

function ticks(low, high, log, count = 5) {
  if (log) {
    const found = [];
    for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++) {
      const decades = Math.log10(high / low);
      for (const m of decades < 1.5 ? [1, 2, 5] : decades < 3.2 ? [1, 3] : [1]) {
        const value = m * 10 ** e;
        if (value >= low * 0.999 && value <= high * 1.001) found.push(value);
      }
    }
    const every = Math.ceil(found.length / 7);
    return found.filter((_, i) => i % every === 0);
  }
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((m) => m >= raw);
  const found = [];
  for (let k = Math.ceil(low / step); k * step <= high + 1e-9; k++) found.push(+(k * step).toPrecision(10));
  return found;
}

const swatch = (line) => s('svg', { viewBox: '0 0 22 10', 'aria-hidden': 'true' }, line.kind === 'bars'
  ? s('rect', { x: 2, y: 0, width: 18, height: 10, rx: 2, style: { fill: line.color } })
  : line.kind === 'dots'
    ? s('circle', { cx: 11, cy: 5, r: 4, style: { fill: line.color } })
    : s('line', { x1: 0, x2: 22, y1: 5, y2: 5, 'stroke-width': 3, 'stroke-dasharray': line.dash || 'none', style: { stroke: line.color } }));

const legend = (lines) => h('ul', { class: 'legend' }, lines.map((line) => h('li', {}, swatch(line), line.name)));

/* A chart of lines (kind 'line', 'step', 'bars' or 'dots'), with a cross-hair for mouse and arrow keys.
   options: x, y (names), xs(i) (text of a position), log, logx, low, high, value(v), label, height, at(x) */
function chart(lines, options) {
  const holder = h('div', { class: 'chart' });
  let width = 0;
  // Drawn for the width that there is, so that letters keep their size.
  new ResizeObserver(() => {
    const now = Math.round(holder.clientWidth);
    if (now > 40 && now !== width) { width = now; holder.replaceChildren(drawn(lines, options, width)); }
  }).observe(holder);
  return holder;
}

function drawn(lines, options, W) {
  const H = options.height || 290;
  const right = 14, top = 10, bottom = 44;
  const all = lines.flatMap((line) => line.ys.filter((v) => !options.log || v > 0));
  const low = options.low ?? (options.log ? Math.min(...all) : 0);
  const high = options.high ?? Math.max(...all) * (options.log ? 1 : 1.05);
  const xall = lines.flatMap((line) => [line.xs[0], line.xs[line.xs.length - 1]]);
  const xlow = options.xlow ?? Math.min(...xall), xhigh = options.xhigh ?? Math.max(...xall);
  const yticks = ticks(low, high, options.log);
  const left = 32 + 6.6 * Math.max(...yticks.map((v) => options.value(v).length));
  const scale = (v, a, b, log) => (log ? Math.log(v / a) / Math.log(b / a || 2) : (v - a) / (b - a || 1));
  const X = (v) => left + (W - left - right) * scale(v, xlow, xhigh, options.logx);
  const Y = (v) => H - bottom - (H - top - bottom) * Math.max(0, Math.min(1.02, scale(options.log ? Math.max(v, low) : v, low, high, options.log)));
  const svg = s('svg', { viewBox: `0 0 ${W} ${H}`, role: 'img', tabindex: 0, 'aria-label': options.label });
  for (const v of yticks) {
    svg.append(s('line', { class: 'grid', x1: left, x2: W - right, y1: Y(v), y2: Y(v) }),
      s('text', { x: left - 8, y: Y(v) + 4, 'text-anchor': 'end' }, options.value(v)));
  }
  for (const v of ticks(xlow, xhigh, options.logx, W < 420 ? 4 : 6)) {
    svg.append(s('line', { class: 'axis', x1: X(v), x2: X(v), y1: H - bottom, y2: H - bottom + 4 }),
      s('text', { x: X(v), y: H - bottom + 18, 'text-anchor': 'middle' }, options.at ? options.at(v) : short(v)));
  }
  svg.append(s('line', { class: 'axis', x1: left, x2: W - right, y1: H - bottom, y2: H - bottom }),
    s('text', { x: (left + W - right) / 2, y: H - 6, 'text-anchor': 'middle' }, options.x),
    s('text', { x: 11, y: (H - bottom) / 2, 'text-anchor': 'middle', transform: `rotate(-90 11 ${(H - bottom) / 2})` }, options.y));
  for (const line of lines) {
    const points = line.xs.map((x, i) => [X(x), Y(line.ys[i])]);
    if (line.kind === 'bars') {
      const w = Math.max(0.6, (X(line.xs[1] ?? line.xs[0] + 1) - X(line.xs[0])) * 0.78);
      svg.append(s('path', { style: { fill: line.color }, d: points.map(([x, y]) => `M${(x - w / 2).toFixed(1)} ${H - bottom}V${y.toFixed(1)}h${w.toFixed(1)}V${H - bottom}z`).join('') }));
    } else if (line.kind === 'dots') {
      svg.append(s('g', { style: { fill: line.color } }, points.filter((_, i) => !options.log || line.ys[i] > 0).map(([x, y]) => s('circle', { cx: x.toFixed(1), cy: y.toFixed(1), r: (line.big ? 1.6 : 1) * (points.length > 200 ? 1.6 : 3) }))));
    } else {
      const step = line.kind === 'step';
      const d = points.map(([x, y], i) => (i === 0 ? `M${x.toFixed(1)} ${y.toFixed(1)}` : step ? `H${x.toFixed(1)}V${y.toFixed(1)}` : `L${x.toFixed(1)} ${y.toFixed(1)}`)).join('');
      svg.append(s('path', { d, fill: 'none', 'stroke-width': line.width || 2.2, 'stroke-dasharray': line.dash || 'none', 'stroke-linejoin': 'round', style: { stroke: line.color } }));
    }
  }
  const cross = s('line', { class: 'cross', y1: top, y2: H - bottom, visibility: 'hidden' });
  svg.append(cross);
  const longest = lines.reduce((a, b) => (b.xs.length > a.xs.length ? b : a));
  let at = -1;
  const near = (xs, x) => {
    let best = 0;
    for (let i = 1; i < xs.length; i++) if (Math.abs(xs[i] - x) < Math.abs(xs[best] - x)) best = i;
    return best;
  };
  const show = (index, clientX, clientY) => {
    at = index;
    const x = longest.xs[at];
    cross.setAttribute('x1', X(x)); cross.setAttribute('x2', X(x)); cross.setAttribute('visibility', 'visible');
    const box = svg.getBoundingClientRect();
    tip.show(clientX ?? box.left + (X(x) / W) * box.width, clientY ?? box.top + box.height / 3,
      h('div', {}, h('b', {}, options.xs(x, at))),
      ...lines.map((line) => h('div', { class: 'row' }, h('span', {}, swatchSpan(line), line.name), h('b', {}, options.value(line.ys[near(line.xs, x)])))));
  };
  const hide = () => { at = -1; cross.setAttribute('visibility', 'hidden'); tip.hide(); };
  svg.addEventListener('pointermove', (event) => {
    const box = svg.getBoundingClientRect();
    const px = ((event.clientX - box.left) / box.width) * W;
    if (px < left - 8 || px > W - right + 8) return hide();
    const share = (px - left) / (W - left - right);
    const x = options.logx ? xlow * (xhigh / xlow) ** share : xlow + share * (xhigh - xlow);
    show(near(longest.xs, x), event.clientX, event.clientY);
  });
  svg.addEventListener('pointerleave', hide);
  svg.addEventListener('blur', hide);
  svg.addEventListener('keydown', (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
    if (event.key === 'Escape') hide();
    if (!move) return;
    event.preventDefault();
    show(Math.max(0, Math.min(longest.xs.length - 1, at < 0 ? 0 : at + move)));
  });
  return svg;
}

const swatchSpan = (line) => h('span', { class: 'key', style: { background: line.color, 'margin-right': '6px' } });

/* Buttons of which one is pressed. */
function choice(label, names, pick) {
  const buttons = names.map(([key, text]) => h('button', { type: 'button', 'aria-pressed': 'false', onclick: () => set(key), 'data-key': key }, text));
  const set = (key) => {
    for (const button of buttons) button.setAttribute('aria-pressed', String(button.dataset.key === String(key)));
    pick(key);
  };
  const node = h('div', { class: 'choice', role: 'group', 'aria-label': label }, h('span', {}, label), buttons);
  node.set = set;
  return node;
}
