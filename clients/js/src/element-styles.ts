/** Styles of the element; colours follow the page's colour scheme and can be set with custom properties. */
export const css = `
:host {
  display: block;
  color-scheme: light dark;
  font: var(--pouw-font, inherit);
  color: var(--pouw-color, #1b1b1f);
  --bar: var(--pouw-bar, #2457c5);
  --track: var(--pouw-track, #d9dce3);
}
:host([hidden]), .idle { display: none; }
svg { display: block; width: 100%; height: 0.5em; border-radius: 0.25em; background: var(--track); }
rect { fill: var(--bar); }
p { margin: 0.5em 0 0; }
@media (prefers-color-scheme: dark) {
  :host {
    color: var(--pouw-color, #ececf1);
    --bar: var(--pouw-bar, #8db0ff);
    --track: var(--pouw-track, #3a3d46);
  }
}
@media (forced-colors: active) {
  svg { border: 1px solid CanvasText; background: Canvas; }
  rect { fill: Highlight; }
}
@media (prefers-reduced-motion: no-preference) {
  rect { transition: width 0.2s linear; }
}
`;
