/**
 * Styles of the element. Text has the colour of the page around it; the bar follows the page's `color-scheme`, not the
 * system's, which the page may not heed. Custom properties set the colours.
 */
export const css = `
:host {
  display: block;
  position: relative;
  font: var(--pouw-font, inherit);
  color: var(--pouw-color, inherit);
  --bar: var(--pouw-bar, #2457c5);
  --track: var(--pouw-track, #d9dce3);
}
@supports (color: light-dark(red, red)) {
  :host {
    --bar: var(--pouw-bar, light-dark(#2457c5, #8db0ff));
    --track: var(--pouw-track, light-dark(#d9dce3, #3a3d46));
  }
}
:host([hidden]), .idle { display: none; }
.over [part=bar] { visibility: hidden; }
.over [part=time] { display: none; }
svg { display: block; width: 100%; height: 0.5em; border-radius: 0.25em; background: var(--track); }
rect { fill: var(--bar); }
:host(:dir(rtl)) svg { transform: scaleX(-1); }
p { margin: 0.5em 0 0; }
[part=time] { min-height: 1.55em; font-variant-numeric: tabular-nums; }
[part=text] { margin-top: 0.2em; }
.heard {
  position: absolute; width: 1px; height: 1px; margin: -1px; padding: 0;
  overflow: hidden; clip-path: inset(50%); white-space: nowrap;
}
@media (forced-colors: active) {
  svg { border: 1px solid CanvasText; background: Canvas; }
  rect { fill: Highlight; }
}
@media (prefers-reduced-motion: no-preference) {
  rect { transition: width 0.2s linear; }
}
`;
