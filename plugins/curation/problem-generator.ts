import { type Random, random, UserError } from 'simmerkit';
import { people, type Setting, settings } from './problem-settings.js';

/** A story problem whose answer is reached in so many steps, and how it is. */
interface GeneratedProblem {
  readonly question: string;
  /** A line a step, each with its whole computation: what a small model can learn to write. */
  readonly reasoning: string;
  readonly answer: string;
  readonly domain: string;
  readonly steps: number;
}

export interface GeneratorOptions {
  readonly seed: number;
  readonly count: number;
  /** Number of steps to its relative frequency. */
  readonly steps: Readonly<Record<string, number>>;
  readonly start: Range;
  /** What one step adds or takes away. */
  readonly change: Range;
  /** No number on the way is above it; none is below 2. */
  readonly largest: number;
  /** Of the steps that could double or halve the number, the share that does. */
  readonly factorShare: number;
  readonly checks: CheckOptions;
}

/** How often a trace looks at its last step again, behind the word that budget forcing appends. */
interface CheckOptions {
  /** Share of traces that do. */
  readonly share: number;
  /** Of these, the share that does it twice. */
  readonly twiceShare: number;
  /** Of these, the share whose last step was wrong before, and is put right. */
  readonly slipShare: number;
  readonly word: string;
}

interface Range {
  readonly min: number;
  readonly max: number;
}

interface Step {
  readonly sentence: string;
  readonly line: string;
  readonly result: number;
  readonly isFactor: boolean;
}

/** Draws of a problem that was there already, in a row, after which the options are taken to hold no more. */
const longestVain = 10_000;

/**
 * Draws different problems, the same ones for the same options. @throws UserError `too_few_problems`
 */
export function* generateProblems(options: GeneratorOptions): Iterable<GeneratedProblem> {
  const stream = random(options.seed, 'generate-problems');
  // Of their own, so that other checks leave the questions as they are.
  const checks = random(options.seed, 'generate-problems checks');
  const questions = new Set<string>();
  for (let vain = 0; questions.size < options.count; ) {
    const problem = drawProblem(stream, drawWeighted(stream, options.steps), options);
    if (questions.has(problem.question)) {
      if (++vain < longestVain) continue;
      throw new UserError(
        'too_few_problems',
        `Asked for ${options.count} different problems, found only ${questions.size} with these options.`,
        { hint: 'Lower `count`, or allow more steps and wider ranges of numbers.' },
      );
    }
    vain = 0;
    questions.add(problem.question);
    yield { ...problem, reasoning: withChecks(problem.reasoning, checks, options.checks) };
  }
}

function drawProblem(stream: Random, steps: number, options: GeneratorOptions): GeneratedProblem {
  const setting = stream.pick(settings);
  const [name, pronoun] = stream.pick(people);
  const items = stream.pick(setting.items);
  const subject = setting.subject ?? pronoun;
  let number = drawIn(stream, options.start);
  const fill = (text: string) =>
    text.replace('{name}', name).replace('{items}', items).replace('{number}', String(number));
  const sentences = [fill(setting.opening)];
  const lines = [`Start: ${number}`];
  let mayBeFactor = true;
  for (let index = 0; index < steps; index++) {
    const step: Step =
      (mayBeFactor ? drawFactor(stream, number, options) : undefined) ??
      drawChange(stream, number, { setting, subject, items }, options);
    sentences.push(step.sentence);
    lines.push(step.line);
    number = step.result;
    // Two in a row would often undo each other.
    mayBeFactor = !step.isFactor;
  }
  sentences.push(fill('How many {items} are there?'));
  return {
    question: sentences.join(' '),
    reasoning: lines.join('\n'),
    answer: String(number),
    domain: setting.domain,
    steps,
  };
}

function drawFactor(stream: Random, number: number, options: GeneratorOptions): Step | undefined {
  if (stream.next() >= options.factorShare) return undefined;
  const doubles = stream.integer(2) === 0;
  if (doubles && number * 2 <= Math.min(options.largest, 60)) {
    const result = number * 2;
    const sentence = 'Then the number doubles.';
    return { sentence, line: `Then the number doubles: ${number} * 2 = ${result}`, result, isFactor: true };
  }
  if (!doubles && number >= 10 && number % 2 === 0) {
    const result = number / 2;
    const sentence = 'Then the number halves.';
    return { sentence, line: `Then the number halves: ${number} / 2 = ${result}`, result, isFactor: true };
  }
  return undefined;
}

function drawChange(
  stream: Random,
  number: number,
  story: { readonly setting: Setting; readonly subject: string; readonly items: string },
  options: GeneratorOptions,
): Step {
  const change = drawIn(stream, options.change);
  const wantsGain = stream.integer(2) === 0;
  const isGain = number - change < 2 || (wantsGain && number + change <= options.largest);
  const verb = stream.pick(isGain ? story.setting.gains : story.setting.losses);
  const result = isGain ? number + change : number - change;
  return {
    sentence: `${story.subject} ${verb} ${change} ${story.items}.`,
    line: `${story.subject} ${verb} ${change}: ${number} ${isGain ? '+' : '-'} ${change} = ${result}`,
    result,
    isFactor: false,
  };
}

/** A model that never saw the word that is appended in place of the end of thinking does not know how to go on from it. */
function withChecks(reasoning: string, stream: Random, { share, twiceShare, slipShare, word }: CheckOptions): string {
  const [isChecked, isTwice, isSlip] = [share, twiceShare, slipShare].map((chance) => stream.next() < chance);
  const slip = stream.pick([-10, -2, -1, 1, 2, 10]);
  if (!isChecked) return reasoning;
  const lines = reasoning.split('\n');
  const last = lines.at(-1) ?? '';
  const equation = last.slice(last.indexOf(': ') + 2);
  const result = Number(equation.slice(equation.lastIndexOf(' ')));
  if (isSlip && result + slip > 0) lines[lines.length - 1] = last.replace(/\d+$/, String(result + slip));
  const check = `${word}, check the last step: ${equation}`;
  return [...lines, check, ...(isTwice ? [check] : [])].join('\n');
}

function drawIn(stream: Random, { min, max }: Range): number {
  return min + stream.integer(max - min + 1);
}

function drawWeighted(stream: Random, weights: Readonly<Record<string, number>>): number {
  const entries = Object.entries(weights);
  let left = stream.next() * entries.reduce((sum, [, weight]) => sum + weight, 0);
  for (const [value, weight] of entries) {
    left -= weight;
    if (left < 0) return Number(value);
  }
  return Number(entries.at(-1)?.[0]);
}
