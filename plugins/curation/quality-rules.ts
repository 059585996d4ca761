import { type Row, startOf, textIn } from 'simmerkit';
import { characterCount } from './characters.js';
import { judgeLanguage } from './language.js';
import type { QualityOptions } from './options.js';
import { judgeRepetition } from './repetition.js';
import type { Drop } from './sieve.js';
import { whiteSpace } from './white-space.js';

interface Rule {
  readonly rule: string;
  readonly column: string;
  readonly expression: RegExp;
  readonly appliesTo?: (row: Row) => boolean;
}

/**
 * Judges rows by their text. The preset is that of s1's code (data/, section 2.2 of the paper): questions that need a
 * picture, numbered parts such as `p3.`, and bold numbers that a broken conversion left behind.
 * @throws SyntaxError for a pattern that is no regular expression
 */
export function qualityJudge(options: QualityOptions): (row: Row) => Drop | undefined {
  const rules = [...(options.preset === 's1' ? s1Rules(options.asyAllowedSources) : []), ...ownRules(options)];
  const limits = Object.entries(options.length).flatMap(([column, limit]) =>
    limit === undefined ? [] : [{ column, limit }],
  );
  return (row) => {
    for (const { rule, column, expression, appliesTo } of rules) {
      if (appliesTo !== undefined && !appliesTo(row)) continue;
      const match = expression.exec(textIn(row, column) ?? '');
      if (match !== null) return { rule, evidence: startOf(match[0], 200) };
    }
    for (const { column, limit } of limits) {
      const length = characterCount(textIn(row, column) ?? '');
      if (limit.min !== undefined && length < limit.min)
        return { rule: `${column}_too_short`, evidence: String(length) };
      if (limit.max !== undefined && length > limit.max)
        return { rule: `${column}_too_long`, evidence: String(length) };
    }
    for (const { column, ...limit } of options.repetition) {
      const drop = judgeRepetition(textIn(row, column) ?? '', limit);
      if (drop !== undefined) return drop;
    }
    const { language } = options;
    return language === undefined ? undefined : judgeLanguage(textIn(row, language.column) ?? '', language);
  };
}

function s1Rules(asyAllowedSources: readonly string[]): Rule[] {
  const allowed = asyAllowedSources.map((name) => name.toLowerCase());
  const mayHaveAsy = (row: Row) => {
    const source = (textIn(row, 'source') ?? '').toLowerCase();
    return allowed.some((name) => source.includes(name));
  };
  return [
    { rule: 'asy_picture', column: 'question', expression: /\[asy\]/, appliesTo: (row) => !mayHaveAsy(row) },
    { rule: 'image', column: 'question', expression: /!\[Image\]/ },
    // f"p{i}." for i in 1..999.
    { rule: 'numbered_part', column: 'question', expression: /p[1-9][0-9]{0,2}\./ },
    // As Python reads it: \d is any decimal digit, \s its white space, and a dot all but a line feed.
    {
      rule: 'bold_number',
      column: 'question',
      expression: new RegExp(`\\*\\*(?=[^\\n]*\\p{Nd})[^${whiteSpace}\\]]*\\*\\*`, 'u'),
    },
  ];
}

function ownRules(options: QualityOptions): Rule[] {
  return options.drop.map(({ rule, column, pattern, flags }) => ({
    rule,
    column,
    // Without g and y, which would make a match depend on the row before.
    expression: new RegExp(pattern, flags.replace(/[gy]/g, '')),
  }));
}
