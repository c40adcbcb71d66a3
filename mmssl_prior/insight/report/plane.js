// Features on a plane, with thumbnails; planes of several models move together.
'use strict';

const GROUPS = ['head', 'medium', 'tail'];
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const planes = {
  all: [], layout: 'pca', colour: 'plain', at: -1,
  redraw() { for (const one of this.all) one.draw(); },
  point(at) { this.at = at; this.redraw(); },
};

function colourOf(model) {
  const [kind, value] = planes.colour.split(':');
  const labels = D.points.labels;
  if (kind === 'group') {
    const colours = { head: style('--blue'), medium: style('--violet'), tail: style('--orange') };
    return (i) => colours[classes[labels[i]].group];
  }
  const chosen = kind === 'class' ? (i) => labels[i] === +value : (i) => model.point_clusters[i] === +value;
  if (kind === 'class' || kind === 'cluster') {
    const [on, off] = [style('--orange'), style('--faint')];
    return (i) => (chosen(i) ? on : off);
  }
  const plain = style('--blue');
  return () => plain;
}

function plane(model, index) {
  const canvas = h('canvas', { tabindex: 0, role: 'img', 'aria-label': `Images of ${model.name} on a plane; arrow keys go from image to image` });
  const place = () => (model.planes[planes.layout] || model.planes.pca).points;
  const box = () => {
    const { width, height } = canvas.getBoundingClientRect();
    return { width, height, edge: 14 };
  };
  const spread = (points) => {
    const xs = points.map((p) => p[0]), ys = points.map((p) => p[1]);
    return [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  };
  const screen = () => {
    const { width, height, edge } = box();
    const points = place(), [x0, x1, y0, y1] = spread(points);
    const scale = Math.min((width - 2 * edge) / (x1 - x0 || 1), (height - 2 * edge) / (y1 - y0 || 1));
    return points.map(([x, y]) => [width / 2 + (x - (x0 + x1) / 2) * scale, height / 2 - (y - (y0 + y1) / 2) * scale]);
  };
  const draw = () => {
    const { width, height } = box();
    if (!width) return;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext('2d');
    pen.scale(ratio, ratio);
    const points = screen(), colour = colourOf(model), off = style('--faint');
    const order = points.map((_, i) => i).sort((a, b) => (colour(a) === off ? 0 : 1) - (colour(b) === off ? 0 : 1));
    const radius = points.length > 800 ? 2.6 : 3.6;
    for (const i of order) {
      pen.globalAlpha = colour(i) === off ? 0.35 : 0.75;
      pen.fillStyle = colour(i);
      pen.beginPath(); pen.arc(points[i][0], points[i][1], radius, 0, 7); pen.fill();
    }
    pen.globalAlpha = 1;
    if (planes.at >= 0) {
      const [x, y] = points[planes.at];
      pen.lineWidth = 2.5; pen.strokeStyle = style('--ink');
      pen.beginPath(); pen.arc(x, y, 8, 0, 7); pen.stroke();
    }
  };
  const show = (at) => {
    planes.point(at);
    if (at < 0) return tip.hide();
    const rect = canvas.getBoundingClientRect(), [x, y] = screen()[at];
    const { columns, rows, sprite } = D.points;
    const shot = h('div', { class: 'shot', style: {
      'background-image': `url(${sprite})`, 'background-size': `${112 * columns}px ${112 * rows}px`,
      'background-position': `-${112 * (at % columns)}px -${112 * Math.floor(at / columns)}px` } });
    const label = classes ? classes[D.points.labels[at]] : null;
    tip.show(rect.left + x, rect.top + y, shot, h('div', {}, D.points.names[at]),
      ...(label ? [h('div', {}, `class ${label.name} (${label.group}, ${whole(label.images)} images)`)] : []),
      ...(model.point_clusters.length ? [h('div', {}, `${model.gallery_of === 'prototypes' ? 'prototype' : 'cluster'} ${model.point_clusters[at] + 1}`)] : []));
  };
  canvas.addEventListener('pointermove', (event) => {
    const rect = canvas.getBoundingClientRect(), x = event.clientX - rect.left, y = event.clientY - rect.top;
    let best = -1, least = 24 * 24;
    screen().forEach(([a, b], i) => {
      const distance = (a - x) ** 2 + (b - y) ** 2;
      if (distance < least) { least = distance; best = i; }
    });
    show(best);
  });
  canvas.addEventListener('pointerleave', () => show(-1));
  canvas.addEventListener('blur', () => show(-1));
  canvas.addEventListener('keydown', (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === 'Escape') return show(-1);
    if (!way) return;
    event.preventDefault();
    const points = screen();
    if (planes.at < 0) return show(0);
    const [x, y] = points[planes.at];
    let best = planes.at, least = Infinity;
    points.forEach(([a, b], i) => {
      const along = (a - x) * way[0] + (b - y) * way[1], aside = Math.abs((a - x) * way[1]) + Math.abs((b - y) * way[0]);
      if (along > 0.5 && along + 2.5 * aside < least) { least = along + 2.5 * aside; best = i; }
    });
    show(best);
  });
  const one = { draw, show, canvas, screen };
  planes.all.push(one);
  new ResizeObserver(draw).observe(canvas);
  return h('div', { class: 'plane' }, canvas);
}

function planeControls() {
  const names = { pca: 'PCA', tsne: 't-SNE', umap: 'UMAP' };
  // One that collapsed has none but PCA.
  const layouts = [...new Set(R.models.flatMap((model) => Object.keys(model.planes)))];
  const colours = [];
  if (classes) colours.push(['group', 'head, medium, tail']);
  else colours.push(['plain', 'one colour']);
  const options = colours.map(([key, text]) => h('option', { value: key }, text));
  if (classes) classes.forEach((c, i) => { if (c.images) options.push(h('option', { value: `class:${i}` }, `class ${c.name}`)); });
  const sizes = R.models[0].gallery.map((entry) => entry.cluster);
  if (N === 1) for (const k of sizes) options.push(h('option', { value: `cluster:${k}` }, `${R.models[0].gallery_of === 'prototypes' ? 'prototype' : 'cluster'} ${k + 1}`));
  const select = h('select', { id: 'colour', onchange: (event) => { planes.colour = event.target.value; planes.redraw(); keys(); } }, options);
  const legendNode = h('span', { class: 'choice' });
  const keys = () => legendNode.replaceChildren(...(planes.colour === 'group'
    ? [['head', '--blue'], ['medium', '--violet'], ['tail', '--orange']].map(([name, v]) => h('span', { style: { display: 'inline-flex', gap: '6px', 'align-items': 'center' } }, h('span', { class: 'key', style: { background: `var(${v})` } }), name))
    : planes.colour === 'plain' ? [] : [h('span', { class: 'key', style: { background: 'var(--orange)' } }), 'chosen']));
  planes.colour = colours[0][0];
  const layout = choice('Layout', layouts.map((key) => [key, names[key]]), (key) => { planes.layout = key; planes.at = -1; planes.redraw(); });
  layout.set(layouts[layouts.length - 1]);
  keys();
  return [layout, h('label', { class: 'choice' }, 'Colour', select), legendNode];
}
