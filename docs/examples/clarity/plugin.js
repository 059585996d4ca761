import {
  definePlugin,
  defineStage,
  input,
  PaidReplies,
  placement,
  replyDigest,
  serverUrl,
  UserError,
  z,
} from 'simmerkit';

const secondsForOne = 60;

const keepClear = defineStage({
  description: 'Keeps the questions that a paid service finds clear.',
  options: z.strictObject({
    url: serverUrl().describe('Takes {question} by POST, and says {score, usd}: how clear it is, and what that cost.'),
    least: z.number().default(0.5).describe('Lowest score to keep.'),
    usdPerQuestion: placement(z.number().min(0).describe('The most that one question costs, in dollars.')),
  }),
  inputs: { dataset: input('dataset', 'Rows with a column `question`.') },
  outputs: { dataset: { type: 'dataset', description: 'The rows kept, in their order.' } },
  estimate: ({ usdPerQuestion }, { inputs }) => {
    // What is known of an input is a list where it takes many.
    const [known] = [inputs.dataset ?? {}].flat();
    return typeof known?.rows === 'number' ? { usd: known.rows * usdPerQuestion, isAtMost: true } : undefined;
  },
  async run({ options, inputs, artifacts, keptFolder, spending, signal, log }) {
    const { url, least, usdPerQuestion } = options;
    const ask = async (question) => {
      const reservation = await spending.reserve({ source: url, usd: usdPerQuestion, seconds: secondsForOne });
      // If nobody ever knows what it cost, that counts.
      let spent = { usd: usdPerQuestion };
      try {
        // Not the stage's own signal: what was asked is paid for, and so it is waited for.
        const { score, usd } = await scoreOf(question, url, reservation.dropped ?? signal);
        spent = { usd };
        const reply = { score, dollars: usd, finish: 'stop', inputTokens: 0, outputTokens: 0 };
        return { reply, isKept: true };
      } finally {
        reservation.settle(spent);
      }
    };
    const replies = await PaidReplies.open(await keptFolder({ url }), log);
    try {
      const kept = [];
      for await (const row of inputs.dataset.rows()) {
        // Tokens are not what this service counts, so that a reply has no longest length: 0.
        const { score } = await replies.to(replyDigest(row.question), 0, () => ask(row.question), signal);
        if (score >= least) kept.push(row);
      }
      return { dataset: await artifacts.writeDataset(kept, { columns: inputs.dataset.columns }) };
    } finally {
      await replies[Symbol.asyncDispose]();
    }
  },
});

async function scoreOf(question, url, signal) {
  const response = await fetch(url, {
    method: 'POST',
    body: JSON.stringify({ question }),
    signal: AbortSignal.any([signal, AbortSignal.timeout(1000 * secondsForOne)]),
  });
  if (!response.ok) throw new UserError('clarity_refused', `${url} answered with status ${response.status}.`);
  return response.json();
}

export default definePlugin({
  name: 'clarity',
  version: '1.0.0',
  apiVersion: 1,
  stages: { 'keep-clear': keepClear },
});
