import type { AskingOptions, ServerOptions } from './options.js';

/**
 * What a server cannot do, or lacks.
 * @param at where its options stand, with a dot at its end
 */
export function serverProblems(
  server: ServerOptions,
  asking: AskingOptions,
  { isUsdLimited = false }: { readonly isUsdLimited?: boolean },
  at = '',
) {
  const isBeyond = server.budgets === 'server' && (extendsThinking(asking) || asking.thinkingFormat === 'none');
  return [
    ...(isBeyond
      ? [
          {
            path: `${at}budgets`,
            code: 'server_cannot_extend',
            message:
              'A server holds maxima by itself, nothing else: no minimum, nothing ignored, no answers without thinking.',
            hint: 'Set `budgets: continuation`, or leave `ignore` and `minThinkingTokens` out.',
          },
        ]
      : []),
    ...(isUsdLimited && server.price === undefined
      ? [
          {
            path: `${at}price`,
            code: 'price_missing',
            message: 'The budget limits dollars, and what the server answers has no price.',
            hint: 'Add price: { inputPerMillion: ..., outputPerMillion: ... }, in dollars; zeros for a server of your own.',
          },
        ]
      : []),
  ];
}

export function extendsThinking({ sweep, minThinkingTokens }: AskingOptions): boolean {
  return minThinkingTokens !== undefined || sweep.ignore.some((count) => count > 0);
}
