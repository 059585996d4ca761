import { describeValue } from '../document/describe-value.js';
import { UserError } from '../errors.js';
import type { SpendingRequest, Spent } from './spending.js';

/**
 * Checks what is to be set aside: a sum with something in it that is no number is below every limit for ever.
 * @throws UserError `invalid_spending`
 */
export function checkSpendingRequest({ source, usd, seconds }: SpendingRequest): void {
  if (typeof source !== 'string' || source === '') {
    throw invalidSpending(
      `It spends, and does not say at whom: its \`source\` is ${describeValue(source)}.`,
      'The source is whom events and the report name: a model, a service.',
    );
  }
  checkAmount(`What it sets aside for ${source}, \`usd\`,`, usd);
  checkAmount(`How long what it asks of ${source} may take, \`seconds\`,`, seconds);
}

/** Checks what something did cost. @throws UserError `invalid_spending` */
export function checkSpent(source: string, spent: Spent): void {
  if (typeof spent !== 'object' || spent === null) {
    throw invalidSpending(
      `It settles what ${source} did cost with ${describeValue(spent)}.`,
      'Settle with { usd, inputTokens, outputTokens }, of which each may be left out.',
    );
  }
  for (const field of ['usd', 'inputTokens', 'outputTokens'] as const) {
    checkAmount(`What ${source} did cost, \`${field}\`,`, spent[field]);
  }
}

function checkAmount(what: string, amount: unknown): void {
  if (amount === undefined || (typeof amount === 'number' && Number.isFinite(amount) && amount >= 0)) return;
  throw invalidSpending(
    `${what} is ${describeValue(amount)}.`,
    'It is a number, 0 or more; left out where no price is known. Is something undefined that it is computed from?',
  );
}

function invalidSpending(message: string, hint: string): UserError {
  return new UserError('invalid_spending', message, { kind: 'runFailed', hint });
}
