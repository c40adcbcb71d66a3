// With the address …#selftest the page tries its own controls and writes what it found.
'use strict';

if (location.hash === '#selftest') {
  const problems = [];
  addEventListener('error', (event) => problems.push(String(event.message)));
  const check = (truth, what) => { if (!truth) problems.push(what); };
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));
  const key = (node, name) => node.dispatchEvent(new KeyboardEvent('keydown', { key: name, bubbles: true }));
  addEventListener('load', async () => {
    let checks = 0;
    const opened = [];
    const expect = (truth, what) => { checks += 1; check(truth, what); };
    try {
      for (const node of document.querySelectorAll('section')) expect(node.children.length > 1, `${node.id} is empty`);
      for (const path of document.querySelectorAll('svg path')) expect(!/NaN|undefined|Infinity/.test(path.getAttribute('d')), 'a curve has no numbers');
      expect(!/NaN|undefined|\[object/.test(document.getElementById('page').innerText), 'the text has holes');
      expect(document.documentElement.scrollWidth <= innerWidth, `wider than the window: ${document.documentElement.scrollWidth}`);
      for (const first of document.querySelectorAll('.thumb:first-child')) {
        first.click();
        const place = () => viewer.node.querySelector('.buttons span').textContent;
        const before = place();
        expect(viewer.node.open && viewer.node.querySelector('p').textContent, 'a thumbnail does not open');
        key(viewer.node, 'ArrowRight');
        expect(place() !== before || before === '1 of 1', 'the next image does not come');
        opened.push(viewer.node.querySelector('img'));
        viewer.node.close();
      }
      for (const one of planes.all) {
        const rect = one.canvas.getBoundingClientRect(), [x, y] = one.screen()[0];
        one.canvas.dispatchEvent(new PointerEvent('pointermove', { clientX: rect.left + x, clientY: rect.top + y, bubbles: true }));
        expect(!tip.node.hidden && tip.node.querySelector('.shot'), 'a point on the plane shows no image');
        expect(planes.at >= 0, 'no point is chosen');
        one.canvas.dispatchEvent(new PointerEvent('pointerleave'));
        expect(tip.node.hidden, 'the image stays');
        key(one.canvas, 'ArrowRight'); key(one.canvas, 'ArrowRight');
        expect(!tip.node.hidden, 'arrow keys find no point');
        key(one.canvas, 'Escape');
      }
      for (const svg of document.querySelectorAll('section svg[tabindex]')) {
        key(svg, 'ArrowRight');
        expect(!tip.node.hidden && tip.node.textContent.length > 4, 'a chart tells no numbers');
        key(svg, 'Escape');
        expect(tip.node.hidden, 'the numbers of a chart stay');
      }
      for (const button of document.querySelectorAll('.choice button')) {
        button.click();
        expect(button.getAttribute('aria-pressed') === 'true', `${button.textContent} is not pressed`);
      }
      const colour = document.getElementById('colour');
      colour.selectedIndex = colour.options.length - 1;
      colour.dispatchEvent(new Event('change'));
      for (const name of ['light', 'dark', 'system']) {
        document.getElementById('theme').click();
        expect((document.documentElement.dataset.theme || 'system') === name, `theme ${name}`);
      }
      await wait(500);
      for (const image of opened) expect(image.complete && image.naturalWidth > 0, 'an image is broken');
    } catch (error) {
      problems.push(`${error.name}: ${error.message}`);
    }
    document.body.append(h('output', { id: 'selftest' }, problems.length ? `selftest failed: ${[...new Set(problems)].join('; ')}` : `selftest passed: ${checks} checks`));
  });
}
