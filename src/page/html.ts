/** A piece of HTML. Only `html` makes it, so text from data cannot become markup. */
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

/** HTML from a template. Strings and numbers are escaped, also in attributes in quotes; lists are joined; `undefined` and `false` are empty. */
export function html(parts: TemplateStringsArray, ...values: readonly Value[]): Html {
  return { markup: parts.reduce((all, part, i) => all + rendered(values[i - 1]) + part) };
}

/** Text that is markup already: our own scripts, styles and pictures. Never give it text from data. */
export const trusted = (markup: string): Html => ({ markup });

/** Data for a script of the page. The characters that could end the element are written as escapes of JSON. */
export const jsonScript = (id: string, data: unknown): Html => ({
  markup: `<script type="application/json" id="${escaped(id)}">${JSON.stringify(data).replace(/[<>&\u2028\u2029]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)}</script>`,
});
