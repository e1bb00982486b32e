/** A piece of HTML. Make it with `html`, which escapes text, so that text from data cannot become markup. */
export interface Html {
  readonly markup: string;
}

type Value = Html | string | number | undefined | false | readonly Value[];

const escapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

const escaped = (text: string): string => text.replace(/[&<>"']/g, (character) => escapes[character]);

function rendered(value: Value): string {
  if (value === undefined || value === false) return '';
  if (typeof value === 'string') return escaped(value);
  if (typeof value === 'number') return escaped(String(value));
  return 'markup' in value ? value.markup : value.map(rendered).join('');
}

/**
 * HTML from a template. Strings and numbers are escaped, so they can also be used in quoted attributes. Lists are
 * joined, and `undefined` and `false` become empty text.
 */
export function html(parts: TemplateStringsArray, ...values: readonly Value[]): Html {
  return { markup: parts.reduce((all, part, i) => all + rendered(values[i - 1]) + part) };
}

/**
 * Makes HTML of text that is already markup: our own scripts, styles and pictures. Never call it with text from data.
 */
export const trusted = (markup: string): Html => ({ markup });

/** Data for a script of the page. The characters that could end the script element are written as JSON escapes. */
export const jsonScript = (id: string, data: unknown): Html => ({
  markup: `<script type="application/json" id="${escaped(id)}">${JSON.stringify(data).replace(/[<>&\u2028\u2029]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)}</script>`,
});
