// The sections of the page.
'use strict';

const has = (test) => R.models.some(test);
const term = (text, meaning) => h('abbr', { title: meaning }, text);
const lead = (...content) => h('p', { class: 'lead' }, content);
const COLOR = { prior: 'var(--orange)', usage: 'var(--blue)', bars: 'var(--blue-soft)', first: 'color-mix(in srgb, var(--green) 70%, var(--card))', classes: 'var(--ink)' };
const shade = (i, n) => `color-mix(in oklab, var(--green) ${n > 1 ? Math.round(100 - (55 * i) / (n - 1)) : 100}%, var(--card))`;
const TERMS = {
  effective: 'The number of equally large clusters that would be as diverse (exponential of the entropy of the sizes).',
  gini: '0: all clusters are equally large. Near 1: one cluster has everything.',
  purity: 'Share of images that are of the most frequent class of their cluster. More clusters are purer by themselves: compare equal numbers only.',
  nmi: 'Normalised mutual information: 0 if the cluster says nothing about the class, 1 if one determines the other. More clusters score higher by chance.',
  ari: 'Adjusted Rand index: agreement on which pairs of images belong together; 0 is chance, 1 is equality.',
};

function summary() {
  const tile = (value, of, text) => h('div', { class: 'tile' }, h('b', {}, value, of ? h('small', {}, ` ${of}`) : null), h('span', {}, text));
  const icon = { good: '✓', note: '•', warn: '!' };
  return cards((model) => {
    const f = model.features, p = model.prototypes;
    const best = model.clusterings.find((c) => c.as_classes) || model.clusterings[0];
    const near = model.retrieval.same_class;
    return [
      h('p', { class: 'facts' }, [model.run, model.method !== model.backbone && model.method, model.backbone, `${short(model.parameters / 1e6)} M weights`, `${model.image_size} px`].filter(Boolean).join(' · ')),
      h('div', { class: 'tiles' },
        p && tile(whole(p.used), `of ${whole(p.number)}`, 'prototypes are the first choice of some image'),
        p && p.total_variation !== null && tile(percent(p.total_variation), '', 'of the mass lies elsewhere than the prior says'),
        tile(f.rankme.toFixed(f.rankme < 10 ? 1 : 0), `of ${whole(Math.min(f.width, f.images))}`, 'dimensions used (RankMe)'),
        near && tile(percent(near.all, 0), '', `of the ${near.neighbours} nearest neighbours are of the same class`),
        best.nmi !== undefined && tile(best.nmi.toFixed(2), '', `NMI of ${best.name.replace('k-means', 'k-means, k =')} with the classes`)),
      h('ul', { class: 'remarks' }, model.remarks.map((r) => h('li', { class: r.kind }, h('i', { 'aria-label': r.kind }, icon[r.kind]), h('span', {}, r.text)))),
    ];
  });
}

let sorted = false;
function usage() {
  const shown = R.models.filter((m) => m.prototypes);
  const values = shown.flatMap((m) => [...m.prototypes.p_bar, ...(m.prototypes.prior || []), ...m.prototypes.counts.map((c) => c / m.features.images)]);
  const smooth = shown.flatMap((m) => m.prototypes.prior || m.prototypes.p_bar);
  // A steep prior needs a logarithm to be seen; bars would lie on such an axis, so they become dots.
  const log = Math.max(...smooth) / Math.min(...smooth) > 50;
  const high = Math.max(...values), low = Math.min(...values.filter((v) => v > 0));
  const holder = h('div', {});
  const redraw = () => holder.replaceChildren(cards((model) => {
    const p = model.prototypes;
    if (!p) return h('p', { class: 'facts' }, 'This model has no prototypes.');
    const ranked = p.p_bar.map((_, i) => i);
    if (p.prior) ranked.sort((a, b) => p.prior[b] - p.prior[a]);
    const order = (x) => (sorted ? [...x].sort((a, b) => b - a) : ranked.map((i) => x[i]));
    const xs = p.p_bar.map((_, i) => i + 1);
    const lines = [
      { name: 'first choice of images', kind: log ? 'dots' : 'bars', big: true, color: log ? COLOR.first : COLOR.bars, xs, ys: order(p.counts.map((c) => c / model.features.images)) },
      { name: 'mean prediction', kind: sorted ? 'line' : 'dots', color: COLOR.usage, xs, ys: order(p.p_bar) },
    ];
    if (p.prior) lines.push({ name: 'prior', kind: 'line', color: COLOR.prior, xs, ys: order(p.prior), width: 2.6 });
    return h('figure', {}, legend(lines), chart(lines, {
      x: sorted ? 'place, each curve sorted by itself' : 'prototype, in the order of the prior', y: 'share of the images', log, low: log ? low / 1.5 : 0, high: high * (log ? 1.3 : 1.08),
      xlow: 0.5, xhigh: p.number + 0.5, at: whole, value: (v) => percent(v), xs: (x) => (sorted ? `place ${x}` : `prototype ${ranked[x - 1] + 1}`),
      label: `Usage of ${p.number} prototypes by ${model.name}. ${p.used} are used; effective number ${p.effective.toFixed(1)}.`,
    }), h('figcaption', {}, `Effective number ${p.effective.toFixed(1)} of ${p.number}. `,
      p.kl === null ? 'The prior waits for class counts, which these images do not have.' : `Divergence from the prior KL ${p.kl.toFixed(3)} nats, total variation ${percent(p.total_variation)}.`,
      ` A prediction leaves ${p.entropy.toFixed(2)} nats of doubt, and carries ${p.information.toFixed(2)} nats of information about its image.`));
  }));
  const pick = choice('Order', [['prior', "the prior's"], ['sorted', 'sorted']], (key) => { sorted = key === 'sorted'; redraw(); });
  pick.set('prior');
  return [pick, holder];
}

function relative(sizes) {
  const total = sizes.reduce((a, b) => a + b, 0);
  const all = sizes.map((v, i) => [(i + 0.5) / sizes.length, (v * sizes.length) / total]).filter(([, y]) => y > 0);
  return { xs: all.map(([x]) => x), ys: all.map(([, y]) => y) };
}

function sizes() {
  const all = R.models.map((model) => {
    const lines = [];
    if (classes) {
      const counts = classes.map((c) => c.images).filter((n) => n > 0).sort((a, b) => b - a);
      lines.push({ name: `classes (${counts.length})`, color: COLOR.classes, dash: '6 4', width: 2.6, ...relative(counts) });
    }
    const p = model.prototypes;
    if (p && p.prior) lines.push({ name: `prior (${p.number})`, color: COLOR.prior, ...relative([...p.prior].sort((a, b) => b - a)) });
    const means = model.clusterings.filter((c) => c.name !== 'prototypes');
    for (const c of model.clusterings) {
      const color = c.name === 'prototypes' ? COLOR.usage : shade(means.length - 1 - means.indexOf(c), means.length);
      lines.push({ name: c.name === 'prototypes' ? `prototypes (${c.clusters})` : `k-means (${c.clusters})`, color, ...relative(c.sizes) });
    }
    return lines;
  });
  const values = all.flatMap((lines) => lines.flatMap((line) => line.ys.filter((v) => v > 0)));
  const low = Math.min(...values, 0.5) / 1.2, high = Math.max(...values, 2) * 1.2;
  return cards((model, i) => h('figure', {}, legend(all[i]), chart(all[i].map((line) => ({ kind: 'line', ...line })), {
    x: 'clusters, from the largest to the smallest', y: 'size, times an equal share', log: true, low, high, xlow: 0, xhigh: 1,
    at: (v) => percent(v, 0), value: (v) => `${short(v)} ×`, xs: (x) => `at ${percent(x, 0)} of the clusters`,
    label: `Sizes of clusters of ${model.name} relative to equal sizes`,
  }), N === 1 && table()));
}

function table() {
  const columns = [['clustering', (c) => c.name.replace('k-means', 'k-means, k =')], N > 1 && ['model', (c, i) => h('span', { class: 'badge' }, letter(i))], ['used', (c) => `${c.used} of ${c.clusters}`],
    [term('effective', TERMS.effective), (c) => c.effective.toFixed(1)], [term('Gini', TERMS.gini), (c) => c.gini.toFixed(2)],
    ['largest', (c) => whole(c.sizes[0])], ['smallest', (c) => whole(c.sizes[c.sizes.length - 1])],
    classes && [term('purity', TERMS.purity), (c) => c.purity.toFixed(3)], classes && [term('NMI', TERMS.nmi), (c) => c.nmi.toFixed(3)], classes && [term('ARI', TERMS.ari), (c) => c.ari.toFixed(3)]].filter(Boolean);
  const names = [...new Set(R.models.flatMap((m) => m.clusterings.map((c) => c.name)))].sort((a, b) => (a === 'prototypes' ? -1 : b === 'prototypes' ? 1 : a.localeCompare(b, 'en', { numeric: true })));
  const rows = names.flatMap((name) => R.models.map((m, i) => [m.clusterings.find((c) => c.name === name), i])).filter(([c]) => c)
    .map(([c, i]) => h('tr', {}, columns.map(([, of]) => h('td', {}, of(c, i)))));
  if (classes) {
    const own = ['the classes', N > 1 && '', `${classes.filter((c) => c.images).length} of ${classes.length}`, R.data.effective_classes.toFixed(1), R.data.gini_classes.toFixed(2),
      whole(Math.max(...classes.map((c) => c.images))), whole(Math.min(...classes.map((c) => c.images).filter((n) => n > 0))), '', '', ''];
    rows.unshift(h('tr', {}, own.filter((text) => text !== false).map((text) => h('td', {}, text))));
  }
  return h('div', { class: 'scroll', style: { 'margin-top': N === 1 ? '14px' : '0' }, tabindex: 0, role: 'region', 'aria-label': 'Clusterings in numbers' }, h('table', {}, h('thead', {}, h('tr', {}, columns.map(([name]) => h('th', { scope: 'col' }, name)))), h('tbody', {}, rows)));
}

function groups() {
  const strip = (values) => h('div', { class: 'strip' }, GROUPS.map((g) => (values[g] > 0 ? h('span', { class: g, style: { flex: values[g] }, title: `${g}: ${percent(values[g])}` }, values[g] > 0.09 ? percent(values[g], 0) : '') : null)));
  return cards((model) => {
    const first = model.clusterings[0].groups;
    const pick = (of, key) => Object.fromEntries(GROUPS.map((g) => [g, of[g][key]]));
    const rows = [['images', pick(first, 'images')], ['classes', pick(first, 'classes')], ...model.clusterings.map((c) => [c.name, pick(c.groups, 'clusters')])];
    return [
      h('h3', {}, 'Whose clusters are they?'),
      h('ul', { class: 'legend' }, GROUPS.map((g) => h('li', {}, h('span', { class: `key ${g}` }), g))),
      h('div', { class: 'stack' }, rows.map(([name, values]) => [h('span', {}, name), strip(values)])),
      h('h3', { style: { margin: '20px 0 8px' } }, 'Which images are found again?'),
      h('div', { class: 'found' }, h('span', {}), GROUPS.map((g) => h('b', {}, g)), model.clusterings.map((c) => [h('span', {}, c.name), GROUPS.map((g) => {
        const value = c.groups[g].found;
        return value === null ? h('span', {}, '–') : h('div', { class: 'cell' }, h('div', { class: 'meter' }, h('span', { class: g, style: { width: percent(value, 1).replace(' ', '') } })), h('span', {}, percent(value, 0)));
      })])),
    ];
  });
}

function neighbours() {
  return cards((model) => {
    const same = model.retrieval.same_class;
    return [same && h('p', { class: 'facts' }, `Of the ${same.neighbours} nearest neighbours of ${whole(D.points.names.length)} images, ${percent(same.all, 0)} are of the same class: `,
      GROUPS.filter((g) => same[g] !== null).map((g) => `${g} ${percent(same[g], 0)}`).join(', '), '.'), retrieval(model)];
  });
}

function spectrum() {
  const hues = ['var(--blue)', 'var(--orange)', 'var(--green)', 'var(--violet)', 'var(--red)', 'var(--yellow)'];
  const lines = R.models.map((m, i) => {
    const ys = m.features.spectrum.filter((v) => v > 1e-6);
    return { name: N === 1 ? m.name : `${letter(i)}  ${m.name}`, color: hues[i % hues.length], xs: ys.map((_, k) => k + 1), ys };
  });
  return h('div', { class: 'card' }, N > 1 && legend(lines), h('figure', {}, chart(lines.map((l) => ({ kind: 'line', ...l })), {
    x: 'direction, from the strongest', y: 'share of the variance', log: true, xlow: 1,
    at: whole, value: (v) => percent(v), xs: (x) => `direction ${x}`, label: 'Share of the variance of the features by direction',
  })), h('div', { class: 'scroll', style: { 'margin-top': '12px' } }, h('table', {}, h('thead', {}, h('tr', {}, ['model', 'width', 'RankMe', 'directions for 90 %', 'spread', 'length'].map((t) => h('th', { scope: 'col' }, t)))),
    h('tbody', {}, R.models.map((m, i) => h('tr', {}, [`${N > 1 ? `${letter(i)}  ` : ''}${m.name}`, m.features.width, m.features.rankme.toFixed(1), m.features.dimensions_of_90_percent, m.features.spread.toFixed(2), short(m.features.norm)].map((t) => h('td', {}, t))))))));
}

function method() {
  const d = R.data, o = R.settings;
  const fitted = R.models.flatMap((m) => m.clusterings).find((c) => c.fitted_on && c.fitted_on < R.models[0].features.images);
  const rows = [
    ['Images', `${whole(d.images)}${d.of > d.images ? `, a random sample of ${whole(d.of)}` : ''}${d.skipped ? `; ${d.skipped} could not be decoded` : ''}. Each passes the network once, with the transforms of its evaluation.`],
    ['Features', 'What the method evaluates (of MSN and PMSN the target network), before any projection.'],
    ['Prototypes', 'Learned directions; a prediction is a probability for each. The images shown for one are those that give it the greatest probability.'],
    ['Prior', 'How the mass over prototypes was asked to be in training. A uniform one asks for equal clusters.'],
    ['k-means', `Groups features by direction into k clusters${fitted ? `; centres from ${whole(fitted.fitted_on)} images, then all are assigned` : ''}. It prefers clusters of equal size, so it is a yardstick with a bias of its own.`],
    ['Effective number', TERMS.effective], ['Gini', TERMS.gini],
    ...(classes ? [['Groups', `${d.groups[0].toUpperCase()}${d.groups.slice(1)}.`], ['Purity', TERMS.purity], ['NMI', TERMS.nmi], ['ARI', TERMS.ari]] : []),
    ['RankMe', 'Effective number of directions the features use (exponential of the entropy of their singular values). Compare models of one width on the same images.'],
    ['Spread', 'Standard deviation of features of length 1: 0 if all are the same, 1 if they point everywhere.'],
    ['Plane', `${whole(D.points.names.length)} images at random. PCA is a projection; t-SNE and UMAP keep neighbours together, and distances between far groups and their sizes mean nothing. Seed ${o.seed}.`],
    ['Numbers', 'All are in results.json beside this file, figures as PNG in figures/.'],
  ];
  return h('div', { class: 'card' }, h('dl', {}, rows.map(([name, text]) => [h('dt', {}, name), h('dd', {}, text)])));
}

const SECTIONS = [
  ['summary', 'In short', 'Summary', () => [summary()]],
  has((m) => m.prototypes) && ['usage', 'Usage against the prior', 'Usage', () => [lead(h('b', {}, 'What it shows. '), 'How much of the images each prototype gets, beside what the prior asked for. ', h('br'), h('b', {}, 'What to conclude. '),
    'Dots on the line: the prior is in force. Dots at one height under a steep prior: it is not. First choices far from the dots: the mean comes from doubt, spread over many prototypes, rather than from decisions.'), usage()]],
  ['sizes', 'How large are the clusters?', 'Sizes', () => [lead(h('b', {}, 'What it shows. '), 'Clusters from the largest to the smallest, in multiples of an equal share; 1 × everywhere would be equal sizes. ', h('br'), h('b', {}, 'What to conclude. '),
    classes ? 'A curve flatter than that of the classes splits frequent classes and merges rare ones; that is the hidden uniform prior at work.' : 'A flat curve means clusters of equal size. If you expect frequent and rare things in your images, a flat curve splits the former and merges the latter.'), sizes(), N > 1 && h('div', { class: 'card' }, table())]],
  classes && R.data.parted && ['groups', 'Head, medium and tail', 'Groups', () => [lead(h('b', {}, 'What it shows. '), `${R.data.groups[0].toUpperCase()}${R.data.groups.slice(1)}. A cluster belongs to the group of its most frequent class; an image is found if its class is the most frequent of its cluster. `, h('br'), h('b', {}, 'What to conclude. '),
    'If the tail has fewer clusters than classes, rare classes were merged into others; the share that is found again says at what price.'), groups()]],
  has((m) => m.gallery && m.gallery.length) && ['gallery', 'What is in them?', 'Gallery', () => [lead(h('b', {}, 'What it shows. '), has((m) => m.prototypes) ? 'The nearest images of each prototype, from the most to the least used; the blue bar is its usage, the orange mark the prior. Of many prototypes some are shown, evenly spaced. ' : '', has((m) => !m.prototypes) ? 'Without prototypes: the images nearest to the centres of k-means clusters, from the largest to the smallest. ' : '', h('br'), h('b', {}, 'What to conclude. '),
    'One kind of thing in a row: a cluster with a meaning. The same thing in many rows: a frequent class was split. Colour, blur or borders in common: a shortcut.'), cards(gallery)]],
  ['plane', 'All on a plane', 'Plane', () => [lead(h('b', {}, 'What it shows. '), 'Images with similar features lie together; point at one to see it', N > 1 ? ', here and for the other models. ' : '. ', h('br'), h('b', {}, 'What to conclude. '), 'Look for islands: what they have in common is what the features tell apart. Distances between islands and their areas mean nothing in t-SNE and UMAP.'), planeControls(), cards(plane)]],
  ['neighbours', 'Nearest neighbours', 'Neighbours', () => [lead(h('b', {}, 'What it shows. '), 'Some images and those whose features point in the most similar direction', classes ? ', from frequent to rare classes. ' : '. ', h('br'), h('b', {}, 'What to conclude. '), 'The neighbours show what counts as similar: the object, or colour, pose and background.'), neighbours()]],
  ['attention', 'Where does it look?', 'Attention', () => [lead(h('b', {}, 'What it shows. '), `How strongly ${has((m) => m.attention.token === 'class') ? 'the class token, from which the features come,' : 'the patches together (this network has no class token)'} attend${has((m) => m.attention.token === 'class') ? 's' : ''} to each patch in the last block: bright is more, each map on its own scale. `, h('br'), h('b', {}, 'What to conclude. '), 'Maps that follow the object say that the features are about it. Attention shows where information is taken from, not that it decides.'), cards(attention)]],
  ['spectrum', 'How many dimensions are used?', 'Spectrum', () => [lead(h('b', {}, 'What it shows. '), 'How the variance of the features is spread over directions. ', h('br'), h('b', {}, 'What to conclude. '), 'A curve that drops at once to nothing: dimensional collapse. A long slope: many directions carry something. Whether it is something useful, only an evaluation says.'), spectrum()]],
  ['method', 'Words and method', 'Words', () => [method()]],
].filter(Boolean);

function theme() {
  const names = ['system', 'light', 'dark'];
  const button = document.getElementById('theme');
  let at = 0;
  const set = (next) => {
    at = next;
    if (names[at] === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = names[at];
    button.textContent = `Theme: ${names[at]}`;
    planes.redraw();
  };
  button.addEventListener('click', () => set((at + 1) % names.length));
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => planes.redraw());
}

function build() {
  const page = document.getElementById('page');
  const d = R.data;
  page.append(h('div', { class: 'title' }, h('h1', {}, d.title), h('p', {}, [`${whole(d.images)} images`, classes ? `${classes.filter((c) => c.images).length} classes, as diverse as ${d.effective_classes.toFixed(1)} equal ones` : 'no labels', N > 1 ? `${N} models side by side: ${R.models.map((m, i) => `${letter(i)} ${m.name}`).join(', ')}` : R.models[0].name].join(' · '))));
  const links = [];
  for (const [id, title, name, make] of SECTIONS) {
    page.append(h('section', { id, 'aria-labelledby': `${id}-title` }, h('h2', { id: `${id}-title` }, title), make()));
    links.push(h('a', { href: `#${id}` }, name));
  }
  document.getElementById('sections').append(...links);
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) for (const link of links) link.setAttribute('aria-current', String(link.hash === `#${entry.target.id}`));
  }, { rootMargin: '-20% 0px -70% 0px' });
  document.querySelectorAll('section').forEach((node) => seen.observe(node));
  document.getElementById('foot').append(`Made by mmssl_prior ${R.version}. Everything is in this file; it loads nothing.`);
  theme();
  if (location.hash.length > 1 && location.hash !== '#selftest') document.querySelector(location.hash)?.scrollIntoView();
}

build();
