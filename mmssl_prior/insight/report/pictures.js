// Small images that open larger: gallery, neighbours, attention.
'use strict';

const D = JSON.parse(document.getElementById('data').textContent);
const R = D.results;
const classes = R.data.classes;
const N = R.models.length;
const letter = (i) => String.fromCharCode(65 + i);
const nameOf = (image) => D.names[image] ?? `image ${image}`;
const labelOf = (image) => (classes ? classes[D.labels[image]] : null);
const describe = (image) => [nameOf(image), labelOf(image)?.name].filter(Boolean).join(', class ');

const who = (i) => (N === 1 ? null : h('p', { class: 'who' }, h('span', { class: 'badge' }, letter(i)), h('span', {}, R.models[i].name)));
const cards = (make, name) => h('div', { class: `columns ${N === 1 ? 'one' : ''}`, style: { '--n': Math.min(N, 3) } },
  R.models.map((model, i) => h('div', { class: `card ${name || ''}` }, who(i), make(model, i))));

const viewer = {
  node: document.getElementById('viewer'),
  /* items: {src, title, note}; the arrow keys go through them. */
  open(items, at) {
    const show = () => {
      const item = items[at];
      const image = h('img', { src: item.src, alt: item.title });
      image.addEventListener('load', () => image.classList.toggle('tiny', image.naturalWidth < 100));
      this.node.replaceChildren(h('div', { class: 'viewer' }, image,
        h('p', {}, h('b', {}, item.title)), item.note && h('p', { class: 'muted' }, item.note),
        h('div', { class: 'buttons' },
          h('button', { type: 'button', onclick: () => step(-1), 'aria-label': 'Previous image' }, '← Previous'),
          h('span', { class: 'muted' }, `${at + 1} of ${items.length}`),
          h('button', { type: 'button', onclick: () => step(1), 'aria-label': 'Next image' }, 'Next →'),
          h('button', { type: 'button', onclick: () => this.node.close() }, 'Close'))));
    };
    const step = (move) => { at = (at + move + items.length) % items.length; show(); };
    this.node.onkeydown = (event) => {
      const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (move) { event.preventDefault(); step(move); }
    };
    this.node.onclick = (event) => { if (event.target === this.node) this.node.close(); };
    show();
    this.node.showModal();
  },
};

function thumb(items, at, mark) {
  const item = items[at];
  return h('button', { type: 'button', class: 'thumb', title: item.title, 'aria-label': `${item.title}, larger`, onclick: () => viewer.open(items, at) },
    h('img', { src: item.src, alt: '', loading: 'lazy', decoding: 'async' }),
    mark === undefined ? null : h('span', { class: `mark ${mark ? '' : 'no'}`, 'aria-hidden': 'true' }, mark ? '✓' : '✗'));
}

const asItem = (note) => (image) => ({ src: D.pictures[image], title: describe(image), note });

function gallery(model) {
  const entries = model.gallery;
  const widest = Math.max(...entries.flatMap((e) => [e.usage, e.prior || 0]));
  const kind = model.gallery_of === 'prototypes' ? 'Prototype' : 'Cluster';
  const box = h('div', { class: 'gallery' }, entries.map((entry) => {
    const title = `${kind} ${entry.cluster + 1}`;
    const items = entry.nearest.map(asItem(`${title}, place ${entry.place} in the order of usage`));
    const total = entry.images;
    const mix = (entry.classes || []).map(([c, n]) => `${classes[c].name} ${percent(n / total, 0)}`).join(' · ');
    return h('article', { class: 'proto' },
      h('header', {}, h('b', {}, title), h('span', {}, `${whole(total)} images`)),
      h('div', { class: 'pair', title: `usage ${percent(entry.usage)}${entry.prior ? `, prior ${percent(entry.prior)}` : ''}` },
        h('span', { class: 'u', style: { width: `${(100 * entry.usage) / widest}%` } }),
        entry.prior ? h('span', { class: 'p', style: { left: `calc(${(100 * entry.prior) / widest}% - 2px)` } }) : null),
      h('div', { class: 'thumbs four' }, items.map((_, i) => thumb(items, i))),
      classes && h('p', { class: 'mix', title: mix }, mix || 'first choice of no image'));
  }));
  if (N === 1 || entries.length <= 14) return box;
  // Side by side the columns are long.
  const rest = [...box.children].slice(12);
  for (const node of rest) node.hidden = true;
  const more = h('button', { type: 'button', class: 'more', onclick: () => {
    for (const node of rest) node.hidden = false;
    more.remove();
    rest[0].querySelector('button')?.focus();
  } }, `Show all ${entries.length}`);
  return [box, more];
}

function retrieval(model) {
  return h('div', { class: 'rows' }, model.retrieval.queries.map((row) => {
    const images = [row.query, ...row.neighbours.map(([image]) => image)];
    const items = images.map((image, i) => ({
      ...asItem(i ? `neighbour ${i}, cosine ${row.neighbours[i - 1][1].toFixed(3)}` : 'the query')(image),
    }));
    const own = D.labels ? D.labels[row.query] : null;
    const marks = images.map((image) => (D.labels ? D.labels[image] === own : undefined));
    const group = labelOf(row.query)?.group;
    return h('div', { class: 'retrieve' }, thumb(items, 0), h('div', { style: { 'min-width': 0 } },
      h('div', { class: 'thumbs' }, items.slice(1).map((_, i) => thumb(items, i + 1, marks[i + 1]))),
      h('div', { class: 'cap' }, describe(row.query), group ? ` (${group})` : '')));
  }));
}

function attention(model) {
  if (model.attention.reason) return h('p', { class: 'facts', style: { margin: 0 } }, `No maps: ${model.attention.reason}.`);
  return h('div', { class: 'rows' }, model.attention.rows.map((row) => {
    const shots = [['image', row.input], ['mean', row.mean], ...row.maps.map((map, i) => [`head ${i + 1}`, map])];
    const items = shots.map(([name, src]) => ({ src, title: describe(row.image), note: name === 'image' ? 'what the network sees' : `attention, ${name}${name === 'mean' ? ' over heads' : ''}` }));
    return h('div', { class: 'attend' }, shots.map(([name], i) => h('div', {}, thumb(items, i), h('small', {}, name))));
  }));
}
