/** HTML that is safe to put into a page as it is. */
export class Markup {
  constructor(readonly text: string) {}
}

type Value = Markup | string | number | undefined | readonly (Markup | string)[];

/**
 * Builds HTML; every value is escaped unless it is Markup itself, so what a model wrote can never become an element.
 * `undefined` is nothing.
 */
export function html(parts: TemplateStringsArray, ...values: readonly Value[]): Markup {
  return new Markup(parts.map((part, index) => part + (index < values.length ? toText(values[index]) : '')).join(''));
}

/** SVG or CSS of our own making. */
export function trusted(text: string): Markup {
  return new Markup(text);
}

function toText(value: Value): string {
  if (value === undefined) return '';
  if (value instanceof Markup) return value.text;
  if (Array.isArray(value)) return value.map((one) => toText(one as Markup | string)).join('');
  return escapeHtml(String(value));
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
