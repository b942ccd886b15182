/** Small helpers for pages under a strict policy: no inline style, no markup from text. */

/** The element of that id; the page has it. */
export function byId<E extends HTMLElement = HTMLElement>(id: string): E {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found as E;
}

/** Puts the texts in the places that name them. */
export function fillTexts(text: (name: string) => string): void {
  for (const place of document.querySelectorAll<HTMLElement>('[data-text]')) {
    place.textContent = text(place.dataset['text'] ?? '');
  }
}

/** Sets a text, if it is another one: live regions read out whatever is set. */
export function say(place: HTMLElement, text: string): void {
  place.hidden = text === '';
  if (place.textContent !== text) place.textContent = text;
}
