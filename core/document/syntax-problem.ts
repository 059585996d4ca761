import type { YAMLError } from 'yaml';
import { quoted } from './describe-value.js';

/** What is wrong where a text is no YAML, in plain words. */
interface SyntaxProblem {
  readonly message: string;
  readonly offset: number;
  readonly hint?: string;
}

const oneColumn =
  'Keys of one map start in one column, and so do items of one list. A text over several lines with ": " in it needs quotes.';

/** Says the first of the library's errors: those after it are mostly its consequences. */
export function syntaxProblem([error, next]: readonly [YAMLError, ...YAMLError[]], text: string): SyntaxProblem {
  const [offset] = error.pos;
  switch (error.code) {
    case 'TAB_AS_INDENT':
      return { message: 'This line is indented with a tab.', offset, hint: 'Indent with spaces only.' };
    case 'BAD_INDENT':
      // One code for two errors.
      if (error.message.startsWith('Flow')) {
        return { message: 'A { or [ is not closed.', offset, hint: 'Close it, or indent this line further.' };
      }
      return wrongColumn(text, offset);
    case 'BLOCK_AS_IMPLICIT_KEY':
      if (next?.code === 'MULTILINE_IMPLICIT_KEY') return wrongColumn(text, next.pos[1]);
      return secondColon(text, offset);
    case 'BLOCK_IN_FLOW':
      return {
        message: 'There is one ": " too many, or no comma before it.',
        offset,
        hint: 'Entries have commas between them; a text with ": " in it needs quotes.',
      };
    case 'MULTILINE_IMPLICIT_KEY':
      return {
        message: 'This line has no key.',
        offset,
        hint: 'A key has a colon and a space after it: "name: value".',
      };
    case 'BAD_SCALAR_START':
      return { message: `A text cannot start with ${text[offset]}.`, offset, hint: 'Put the text in quotes.' };
    case 'BAD_DQ_ESCAPE':
      return {
        message: sentence(error.message),
        offset,
        hint: 'In double quotes a backslash is written twice; in single quotes it stands for itself.',
      };
    default:
      return unquotedReference(text, offset) ?? { message: sentence(error.message), offset };
  }
}

/** The inside of the `{{ }}` at an offset, which YAML takes for maps. */
export function referenceWithoutDollar(text: string, offset: number): string | undefined {
  const braces = /\{\{\s*([\w.-]+)\s*\}\}/y;
  braces.lastIndex = offset;
  return braces.exec(text)?.[1];
}

function unquotedReference(text: string, offset: number): SyntaxProblem | undefined {
  if (text[offset - 1] !== '$' || !text.startsWith('{{', offset)) return undefined;
  const reference = /^\{\{[^\n]*?\}\}/.exec(text.slice(offset))?.[0] ?? '{{ … }}';
  return {
    message: 'A reference inside of { } or [ ] must be in quotes.',
    offset: offset - 1,
    hint: `Put the whole value in quotes: "$${reference}".`,
  };
}

/** @param offset somewhere on the line that starts in a column of its own */
function wrongColumn(text: string, offset: number): SyntaxProblem {
  const start = text.lastIndexOf('\n', offset - 1) + 1;
  const indent = /^ */.exec(text.slice(start))![0].length;
  return { message: 'This line does not start where the lines around it do.', offset: start + indent, hint: oneColumn };
}

/** @param offset of what is between the two colons of a line */
function secondColon(text: string, offset: number): SyntaxProblem {
  const rest = /^.*/.exec(text.slice(offset))![0].replace(/\s#.*/, '').trimEnd();
  return {
    message: 'There is a second ": " on this line.',
    offset,
    hint: rest.endsWith(':')
      ? 'A map starts on a line of its own, further right than its key.'
      : `A text with ": " in it needs quotes: ${quoted(rest)}.`,
  };
}

function sentence(message: string): string {
  const text = message.split('\n')[0]!.trim();
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
