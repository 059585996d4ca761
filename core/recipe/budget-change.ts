import { UserError } from '../errors.js';
import { type BudgetChange, budgetChange } from './budget.js';
import { parseValue } from './overrides.js';

const keys = ['usd', 'gpuHours', 'wallClock'] as const;

/**
 * What `simmer resume --set budget.KEY=VALUE` changes; undefined for nothing.
 * @throws UserError `not_changeable` for anything but a limit of the budget, `wrong_value`
 */
export function budgetChangeOf(overrides: Readonly<Record<string, string>>): BudgetChange | undefined {
  const given: Record<string, unknown> = {};
  for (const [path, text] of Object.entries(overrides)) {
    const label = `--set ${path}=${text}`;
    const key = keys.find((name) => path === `budget.${name}`);
    if (key === undefined) {
      throw new UserError('not_changeable', `${label}: a run that was begun keeps its recipe, but for its budget.`, {
        hint: `Set ${keys.map((name) => `budget.${name}`).join(', ')}; to change anything else, run the recipe again: what its stages made is reused.`,
      });
    }
    const parsed = parseValue(text, label);
    if ('problem' in parsed) throw new UserError('wrong_value', parsed.problem.message, { hint: formOf(key) });
    given[key] = parsed.value;
  }
  const checked = budgetChange.safeParse(given);
  if (!checked.success) {
    const [issue] = checked.error.issues;
    const key = String(issue?.path[0]);
    throw new UserError('wrong_value', `--set budget.${key}=${overrides[`budget.${key}`]}: ${issue?.message}`, {
      hint: formOf(key),
    });
  }
  const { wallClock, ...rest } = checked.data;
  const change = { ...rest, ...(wallClock === undefined ? {} : { wallClockSeconds: wallClock }) };
  const defined = Object.entries(change).filter(([, value]) => value !== undefined);
  return defined.length === 0 ? undefined : (Object.fromEntries(defined) as BudgetChange);
}

function formOf(key: string): string {
  return key === 'wallClock'
    ? 'A time reads like "12h" or "1h 30m"; null is no limit.'
    : 'It is a number, 0 or more, or null for no limit.';
}
