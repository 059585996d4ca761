import { expect, it } from 'vitest';
import { fittedHelp } from './help-layout.js';

const ofColumns = (columns: number) => ({ isTTY: true, columns }) as NodeJS.WriteStream;

const help = `Options:
  --home <folder>  where runs and artifacts are kept
  --json           as JSON

Examples:
  simmer run my.yaml --set stages.tuned.with.learningRate=2e-5
  simmer run recipes/s1.yaml --until unique   only what needs no GPU`;

it('puts what does not fit beside a term below it, and breaks no command', () => {
  expect(fittedHelp(help, ofColumns(40)).split('\n')).toEqual([
    'Options:',
    '  --home <folder>',
    '      where runs and artifacts are kept',
    '  --json           as JSON',
    '',
    'Examples:',
    '  simmer run my.yaml --set stages.tuned.with.learningRate=2e-5',
    '  simmer run recipes/s1.yaml --until unique',
    '      only what needs no GPU',
  ]);
});

it('breaks the sentences of an error between words', () => {
  const error = "error[usage]: too many arguments for 'run'. Expected 1 argument but got 2.";
  expect(fittedHelp(error, ofColumns(40)).split('\n')).toEqual([
    'error[usage]: too many arguments for',
    "  'run'. Expected 1 argument but got 2.",
  ]);
});

it('is as it was where it fits, and where nobody reads it on a terminal', () => {
  expect(fittedHelp(help, ofColumns(80))).toBe(help);
  expect(fittedHelp(help, { isTTY: false } as NodeJS.WriteStream)).toBe(help);
});
