// Runs in a browser, from the page of browser.test.mjs: everything a page does, reported to the server.
import { computeWorkUnit, createPouwClient } from './pouw.js';
import { definePouwProgress } from './pouw-element.js';

const report = { violations: [], warnings: [], printed: [] };
document.addEventListener('securitypolicyviolation', (event) => {
  report.violations.push(`${event.effectiveDirective} ${event.blockedURI}`);
});
const { warn } = console;
console.warn = (...words) => {
  report.printed.push(words.join(' '));
  warn(...words);
};

try {
  const settings = await (await fetch('/settings')).json();
  const client = createPouwClient({ deadlineMs: 20_000, ...settings.client });
  client.addEventListener('warning', ({ detail }) => report.warnings.push(detail.code));
  const element = document.querySelector('pouw-progress');
  element.client = client;
  const [bar, said, shown] = ['[role=progressbar]', '[role=status]', '[part=text]'].map((part) =>
    element.shadowRoot.querySelector(part),
  );
  const seen = () => bar.checkVisibility({ visibilityProperty: true });
  // Another with words of its own, and one whose properties were set before it was defined.
  const other = document.createElement('pouw-progress');
  Object.assign(other, { client, strings: { accepted: 'Fertig.' } });
  const late = document.createElement('pouw-late');
  Object.assign(late, { client, strings: { accepted: 'Enfin.' } });
  document.body.append(other, late);
  definePouwProgress('pouw-late');
  definePouwProgress();
  report.before = { shown: seen(), said: said.textContent };
  let during;
  client.addEventListener('solved', () => {
    const values = ['aria-valuemin', 'aria-valuenow', 'aria-valuemax', 'aria-label'];
    during ??= {
      ...Object.fromEntries(values.map((name) => [name, bar.getAttribute(name)])),
      shown: seen(),
      height: bar.firstElementChild.getBoundingClientRect().height,
      text: shown.textContent,
    };
  });
  const heard = [];
  new MutationObserver(() => heard.push([performance.now(), said.textContent])).observe(said, {
    childList: true,
  });
  const responses = await Promise.all(
    [1, 2, 3].map((i) => client.fetch(`api/${i}`, { method: 'POST', body: `${i}` })),
  );
  report.texts = await Promise.all(responses.map((response) => response.text()));
  report.during = during;
  report.after = { shown: seen(), text: shown.textContent };
  while (said.textContent !== shown.textContent) await new Promise((resolve) => setTimeout(resolve, 50));
  report.heard = heard.map(([, text]) => text);
  report.gaps = heard.slice(1).map(([at], before) => at - heard[before][0]);
  report.others = [other, late].map((one) => one.shadowRoot.querySelector('[part=text]').textContent);
  report.colors = ['light', 'dark'].map((scheme) => {
    document.documentElement.className = scheme;
    return getComputedStyle(element.shadowRoot.querySelector('rect')).fill;
  });
  report.inline =
    document.querySelectorAll('[style], style').length +
    element.shadowRoot.querySelectorAll('[style], style').length;
  report.hashes = [];
  const { onWarning } = { onWarning: ({ code }) => report.hashes.push(code) };
  for (const unit of settings.units)
    report.hashes.push((await computeWorkUnit(unit, { onWarning })).resultHash);
  client.close();
  // What the challenge page tells; its next page may be slow.
  const told = new EventTarget();
  element.client = told;
  const time = element.shadowRoot.querySelector('[part=time]');
  told.dispatchEvent(new CustomEvent('waiting', { detail: { milliseconds: 40_000 } }));
  report.left = [time.textContent];
  told.dispatchEvent(new CustomEvent('leaving'));
  report.left.push(time.textContent);
  const now = performance.now();
  performance.now = () => now + 60_000;
  element.strings = {};
  report.left.push(shown.textContent, seen());
} catch (error) {
  report.error = `${error} ${error.stack}`;
}
await fetch('/report', { method: 'POST', body: JSON.stringify(report) });
