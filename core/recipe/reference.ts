/** What a `${{ }}` points at. */
export type Reference =
  | { readonly root: 'params'; readonly param: string }
  | { readonly root: 'settings'; readonly setting: string }
  | { readonly root: 'stages'; readonly stage: string; readonly output: string };

/** Text with references in it, in pieces. Plain pieces are never empty and never neighbours. */
type Template = readonly (string | Reference)[];

/** What is wrong inside of a `${{ }}`. */
export class BadReference extends Error {
  readonly hint: string;

  constructor(message: string, hint: string) {
    super(message);
    this.name = 'BadReference';
    this.hint = hint;
  }
}

const nameSyntax = /^[A-Za-z_][A-Za-z0-9_-]*$/;
const forms = `It reads $\{{ params.NAME }}, $\{{ stages.NAME.OUTPUT }} or $\{{ settings.NAME }}.`;

/**
 * Takes text apart at its references. `$${{` stands for a `${{` that is meant as text.
 *
 * @throws BadReference
 */
export function parseTemplate(text: string): Template {
  const pieces: (string | Reference)[] = [];
  let plain = '';
  let position = 0;
  while (position < text.length) {
    const open = text.indexOf('${{', position);
    if (open < 0) break;
    if (open > position && text[open - 1] === '$') {
      plain += `${text.slice(position, open - 1)}\${{`;
      position = open + 3;
      continue;
    }
    const close = text.indexOf('}}', open);
    if (close < 0) throw new BadReference(`"\${{" is not closed by "}}" in ${JSON.stringify(text)}.`, forms);
    plain += text.slice(position, open);
    if (plain !== '') pieces.push(plain);
    plain = '';
    pieces.push(parseReference(text.slice(open + 3, close)));
    position = close + 2;
  }
  plain += text.slice(position);
  if (plain !== '') pieces.push(plain);
  return pieces;
}

export function formatReference(reference: Reference): string {
  switch (reference.root) {
    case 'params':
      return `\${{ params.${reference.param} }}`;
    case 'settings':
      return `\${{ settings.${reference.setting} }}`;
    case 'stages':
      return `\${{ stages.${reference.stage}.${reference.output} }}`;
  }
}

function parseReference(inside: string): Reference {
  const text = inside.trim();
  const refuse = (why: string): never => {
    throw new BadReference(`\${{ ${text} }} is not a reference: ${why}.`, forms);
  };
  const [root, first, second, ...rest] = text.split('.');
  for (const name of [root, first, second]) {
    if (name !== undefined && !nameSyntax.test(name)) refuse(`"${name}" is not a name, and there are no operators`);
  }
  switch (root) {
    case 'params':
      if (first === undefined || second !== undefined) return refuse('params. takes one name');
      return { root, param: first };
    case 'settings':
      if (first === undefined || second !== undefined) return refuse('settings. takes one name');
      return { root, setting: first };
    case 'stages':
      if (first === undefined || second === undefined || rest.length > 0) {
        return refuse('stages. takes the name of a stage and of its output');
      }
      return { root, stage: first, output: second };
    default:
      return refuse(`there is no "${root}"`);
  }
}
