import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import picocolors from 'picocolors';
import { describe, expect, it } from 'vitest';
import { sharedFolder } from '../../test/temporary-folder.js';
import { toErrorRecord, UserError } from '../errors.js';
import { errorLines, exitCodeOf, exitCodeOfFailedRun } from './print-error.js';

const folder = sharedFolder();

function printed(error: unknown): readonly string[] {
  return errorLines(toErrorRecord(error), { colors: picocolors.createColors(false), cwd: folder, version: '9.9.9' });
}

function problemAt(name: string, text: string, line: number, column: number): UserError {
  const file = join(folder, name);
  writeFileSync(file, text);
  return new UserError('invalid_recipe', `${name} has one problem.`, {
    hint: 'Mend it.',
    problems: [{ code: 'x', message: 'Wrong.', position: { file, line, column }, hint: 'Do it right.' }],
  });
}

describe('an error of the user', () => {
  it('names file, line and column, shows the line with a caret, and says what to do', () => {
    expect(printed(problemAt('a.yaml', 'name: x\nseeds: 7\n', 2, 1))).toEqual([
      'error[invalid_recipe]: a.yaml has one problem.',
      'a.yaml:2:1: Wrong.',
      ' 2 | seeds: 7',
      '   | ^',
      '  hint: Do it right.',
      'hint: Mend it.',
    ]);
  });

  it('breaks no word on a terminal, and no line of a file', () => {
    const error = problemAt('b.yaml', `name: ${'long '.repeat(12)}\n`, 1, 1);
    const options = { colors: picocolors.createColors(false), cwd: folder, version: '9.9.9', width: 24 };
    expect(errorLines(toErrorRecord(error), options)).toEqual([
      'error[invalid_recipe]:',
      '  b.yaml has one',
      '  problem.',
      'b.yaml:1:1: Wrong.',
      ` 1 | name: ${'long '.repeat(12)}`,
      '   | ^',
      '  hint: Do it right.',
      'hint: Mend it.',
    ]);
  });

  it('prints nothing that a terminal would obey, whoever wrote it', () => {
    const attack = 'x\u001b]0;title\u0007\u009b31m\r';
    const problems = [
      { code: 'a', message: `Bad ${attack}.`, path: attack, hint: `Mend ${attack}.` },
      { code: 'b', message: 'Wrong.', position: { file: join(folder, attack), line: 1, column: 1 } },
    ];
    const record = { code: attack, message: `No ${attack}\n\tline.`, hint: attack, problems, stack: attack };
    const text = errorLines(record, { colors: picocolors.createColors(false), cwd: folder, version: '9' }).join('\n');
    expect(text).not.toMatch(/[^\P{Cc}\n\t]/u);
    expect(text).toContain('No x ]0;title  31m \n\tline.');
  });

  it('says a remedy once where the problem and the error have the same', () => {
    const error = new UserError('not_utf8', 'Not text.', {
      hint: 'Convert it.',
      problems: [{ code: 'x', message: 'Wrong.', hint: 'Convert it.' }],
    });
    expect(printed(error)).toEqual(['error[not_utf8]: Not text.', 'Wrong.', '  hint: Convert it.']);
  });

  it('shows the part of a long line that matters, with the caret under it', () => {
    const lines = printed(problemAt('long.yaml', `key: ${'a'.repeat(500)}HERE${'b'.repeat(500)}`, 1, 506));
    const [excerpt = '', caret = ''] = lines.slice(2);
    expect(excerpt.length).toBeLessThan(120);
    expect(excerpt.slice(caret.indexOf('^')).startsWith('HERE')).toBe(true);
  });

  it('does without the line where the file is gone or has no such line', () => {
    const error = problemAt('short.yaml', 'one\n', 7, 1);
    expect(printed(error)).toEqual([
      'error[invalid_recipe]: short.yaml has one problem.',
      'short.yaml:7:1: Wrong.',
      '  hint: Do it right.',
      'hint: Mend it.',
    ]);
    rmSync(join(folder, 'short.yaml'));
    expect(printed(error)).toHaveLength(4);
  });

  it('shows where it is, and not once more what it is, where the error itself ends with the problem', () => {
    const { problems } = problemAt('rows.jsonl', '{"a": 1}\n{"b": 2}\n', 2, 1);
    expect(printed(new UserError('missing_column', 'rows.jsonl:2: Wrong.', { problems }))).toEqual([
      'error[missing_column]: rows.jsonl:2: Wrong.',
      'rows.jsonl:2:1',
      ' 2 | {"b": 2}',
      '   | ^',
      '  hint: Do it right.',
    ]);
  });

  it('shows nothing of a packed file, whose lines are other ones', () => {
    const packed = problemAt('rows.jsonl.gz', '\u001f\u008b\u0008 rows.jsonl \ufffd\n', 1, 1);
    expect(printed(packed).slice(1, 3)).toEqual(['rows.jsonl.gz:1:1: Wrong.', '  hint: Do it right.']);
  });

  it('puts no escape sequences of a file on the terminal', () => {
    const lines = printed(problemAt('evil.yaml', 'key: \u001b[2J\u0007x', 1, 6));
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    expect(lines.join('\n')).not.toMatch(/[\u001b\u0007]/);
  });

  it('counts problems beyond those that anybody reads', () => {
    const problems = Array.from({ length: 60 }, (_, index) => ({ code: 'x', message: `Problem ${index}.` }));
    const lines = printed(new UserError('invalid_recipe', 'Much is wrong.', { problems }));
    expect(lines).toHaveLength(52);
    expect(lines.at(-1)).toBe('… and 10 more');
  });
});

describe('a bug', () => {
  it('shows its stack and asks for a report', () => {
    const lines = printed(new TypeError('x is not a function')).join('\n');
    expect(lines).toContain('error[bug]: x is not a function');
    expect(lines).toContain('print-error.test.ts');
    expect(lines).toContain('bug in Simmer 9.9.9');
  });
});

it('an error in a plugin shows the stack and asks nobody for a report', () => {
  const hint = 'This is an error in the plugin "own".';
  const record = {
    code: 'stage_failed',
    kind: 'runFailed',
    message: 'Stage "a" failed.',
    hint,
    stack: 'at own.js:1',
  } as const;
  expect(errorLines(record, { colors: picocolors.createColors(false), cwd: folder, version: '9.9.9' })).toEqual([
    'error[stage_failed]: Stage "a" failed.',
    `hint: ${hint}`,
    'at own.js:1',
  ]);
});

describe('the exit code', () => {
  it.each([
    ['usage', 2],
    ['environment', 3],
    ['runFailed', 4],
    ['interrupted', 130],
  ] as const)('of an error of kind %s is %d', (kind, code) => {
    expect(exitCodeOf(new UserError('x', 'x', { kind }))).toBe(code);
  });

  it('of a bug is 1', () => expect(exitCodeOf(new Error('x'))).toBe(1));

  it("of a failed run tells the machine's fault apart", () => {
    expect(exitCodeOfFailedRun({ code: 'no_disk_space', kind: 'environment', message: '' })).toBe(3);
    expect(exitCodeOfFailedRun({ code: 'missing_columns', kind: 'usage', message: '' })).toBe(4);
    expect(exitCodeOfFailedRun({ code: 'bug', message: '' })).toBe(4);
  });
});
