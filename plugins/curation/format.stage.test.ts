import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { historyType } from '../../core/index.js';
import { memoryArtifact, memoryTable, runStage } from '../../core/testing/run-stage.js';
import { temporaryFolder } from '../../test/temporary-folder.js';
import { format } from './format.stage.js';

const columns = { id: 'VARCHAR', question: 'VARCHAR', reasoning: 'VARCHAR', answer: 'VARCHAR' };
const table = (rows: readonly Readonly<Record<string, unknown>>[]) =>
  memoryTable(
    columns,
    rows.map((row, index) => ({ id: `r${index}`, ...row })),
  );

describe('curation/format', () => {
  const row = { question: 'What is $& 6 * 7?', reasoning: '6 * 7 = 42\n', answer: '42' };
  const completion = async (
    options: Readonly<Record<string, unknown>>,
    given: Readonly<Record<string, unknown>> = row,
  ) => {
    const result = await runStage(format, { options, inputs: { dataset: table([given]) } });
    return result.rows('dataset')[0];
  };

  it("writes s1's text", async () => {
    expect(await completion({})).toEqual({
      id: 'r0',
      prompt: [{ role: 'user', content: 'What is $& 6 * 7?' }],
      completion: '<|im_start|>think\n6 * 7 = 42\n<|im_start|>answer\nAnswer: 42<|im_end|>',
    });
  });

  it('writes what came before the question, whose system message goes before its own', async () => {
    const former = [
      { role: 'user', content: 'Hello' },
      { role: 'assistant', content: 'Hi' },
    ];
    const own = { role: 'system', content: 'Be brief.' };
    const dataset = memoryTable({ ...columns, history: 'STRUCT("role" VARCHAR, content VARCHAR)[]' }, [
      { id: 'r0', ...row, history: [own, ...former] },
      { id: 'r1', ...row, history: former },
      { id: 'r2', ...row, history: null },
    ]);
    const options = { preset: 'chat', systemMessage: 'Think.' };
    const result = await runStage(format, { options, inputs: { dataset } });
    const others = { role: 'system', content: 'Think.' };
    const question = { role: 'user', content: row.question };
    expect(result.rows('dataset').map(({ prompt }) => prompt)).toEqual([
      [own, ...former, question],
      [others, ...former, question],
      [others, question],
    ]);
    const all = await runStage(format, { options: { ...options, replies: 'all' }, inputs: { dataset } });
    const reply = { role: 'assistant', content: '42' };
    expect(all.rows('dataset')).toMatchObject([
      { prompt: [own, former[0]], completion: [former[1], question, reply] },
      { prompt: [others, former[0]], completion: [former[1], question, reply] },
      { prompt: [others, question], completion: [reply] },
    ]);
  });

  it('trains no earlier reply of weight 0 where all replies are trained', async () => {
    const said = (role: string, content: string, weight: number | null = null) => ({ role, content, weight });
    const history = [
      ...[said('user', 'Hello'), said('assistant', 'Hi', 0), said('user', 'One?'), said('assistant', '1')],
      ...[said('user', 'Two?'), said('assistant', '3', 0)],
    ];
    const dataset = memoryTable({ ...columns, history: historyType }, [{ id: 'r0', ...row, history }]);
    const formatted = async (replies: string) =>
      (await runStage(format, { options: { preset: 'chat', replies }, inputs: { dataset } })).rows('dataset');
    const plain = [...history, said('user', row.question)].map(({ role, content }) => ({ role, content }));
    expect(await formatted('all')).toEqual([
      {
        id: 'r0',
        prompt: plain.slice(0, 3),
        completion: [...history.slice(3), said('user', row.question), said('assistant', '42')],
      },
    ]);
    expect(await formatted('last')).toEqual([{ id: 'r0', prompt: plain, completion: '42<|im_end|>' }]);
  });

  it('takes the thinking of graded samples for the reasoning, where there is no such column', async () => {
    const { reasoning, ...others } = row;
    const graded = { id: 'VARCHAR', question: 'VARCHAR', thinking: 'VARCHAR', answer: 'VARCHAR' };
    const completions = async (types: Readonly<Record<string, string>>, given: Readonly<Record<string, unknown>>) => {
      const dataset = memoryTable(types, [{ id: 'r0', ...others, ...given }]);
      return (await runStage(format, { inputs: { dataset } })).rows('dataset').map((each) => each.completion);
    };
    const expected = (await completion({}))?.completion;
    expect(await completions(graded, { thinking: reasoning })).toEqual([expected]);
    expect(await completions({ ...graded, ...columns }, { thinking: 'hm', reasoning })).toEqual([expected]);
    await expect(completions(graded, { thinking: ' ' })).rejects.toMatchObject({
      code: 'value_missing',
      message: 'Row r0 has no thinking.',
      hint: expect.not.stringContaining('reasoning'),
    });
  });

  it('leaves an answer that has the prefix as it is', async () => {
    const given = { ...row, answer: 'So the Answer: 42' };
    expect((await completion({ end: '' }, given))?.completion).toMatch(/answer\nSo the Answer: 42$/);
    const template = { answerTemplate: 'Final Answer: \\boxed{{answer}}', end: '' };
    expect((await completion(template))?.completion).toMatch(/answer\nFinal Answer: \\boxed\{42\}$/);
  });

  it('takes other markers and a system message', async () => {
    const options = {
      thinkingStart: '<think>\n',
      answerStart: '\n</think>\n',
      answerPrefix: '',
      end: '',
      systemMessage: 'Think.',
      promptTemplate: 'Q: {question}',
    };
    expect(await completion(options)).toMatchObject({
      prompt: [
        { role: 'system', content: 'Think.' },
        { role: 'user', content: 'Q: What is $& 6 * 7?' },
      ],
      completion: '<think>\n6 * 7 = 42\n</think>\n42',
    });
  });

  it('writes a plain chat of rows without a trace, the answer alone', async () => {
    const { reasoning, ...plain } = row;
    const { reasoning: type, ...plainColumns } = columns;
    const dataset = memoryTable(plainColumns, [{ id: 'r0', ...plain }]);
    const result = await runStage(format, { options: { preset: 'chat' }, inputs: { dataset } });
    const expected = { id: 'r0', prompt: [{ role: 'user', content: row.question }], completion: '42<|im_end|>' };
    expect(result.rows('dataset')).toEqual([expected]);
    expect(await completion({ preset: 'chat' })).toEqual(expected);
  });

  const chatml =
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{% endfor %}" +
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
  const r1 =
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'user' %}<｜User｜>{{ message.content }}{% else %}" +
    '<｜Assistant｜>{{ message.content }}{{ eos_token }}{% endif %}{% endfor %}' +
    "{% if add_generation_prompt %}{{ '<｜Assistant｜><think>\\n' }}{% endif %}";

  it.each([
    ["s1's text and ChatML", chatml, {}, /^<\|im_start\|>think\n[\s\S]*Answer: 42<\|im_end\|>$/],
    // This template opens the thinking in the prompt: it is not opened twice.
    ["R1's text and template", r1, { preset: 'r1' }, /^6 \* 7 = 42\n<\/think>\n\n42<EOS>$/],
    ["R1's text and ChatML", chatml, { preset: 'r1' }, /^<think>\n6 \* 7 = 42\n<\/think>\n\n42<\|im_end\|>$/],
    ['an end of its own', chatml, { end: '<end>' }, /Answer: 42<end>$/],
  ])("ends a reply as the model's chat template does: %s", async (_, chat_template, options, expected) => {
    const folder = await temporaryFolder();
    const config = { chat_template, bos_token: '<BOS>', eos_token: { content: '<EOS>' } };
    await writeFile(join(folder, 'tokenizer_config.json'), JSON.stringify(config));
    const model = memoryArtifact('model', folder);
    const result = await runStage(format, { options, inputs: { dataset: table([row]), model } });
    expect(result.rows('dataset')[0]?.completion).toMatch(expected);
  });

  it.each([
    ['nothing', chatml, {}, undefined],
    [
      'a channel',
      chatml.replace("message.role + '\\n'", "message.role + '<|channel|>\\n'"),
      {},
      'writes "<|channel|>\\n"',
    ],
    ['what closes the thinking of its prompt', r1, {}, 'such as "\\n</think>\\n\\n"'],
    ['what closes it, which the recipe has', r1, { answerStart: '\n</think>\n\n' }, undefined],
  ])('says what the template writes before a reply without thinking: %s', async (_, chat_template, options, said) => {
    const folder = await temporaryFolder();
    // In the prompt, a reply is only begun.
    const config = {
      chat_template: chat_template.replace('assistant\\n', said?.includes('channel') ? 'assistant' : '$&'),
    };
    await writeFile(join(folder, 'tokenizer_config.json'), JSON.stringify(config));
    const inputs = { dataset: table([row]), model: memoryArtifact('model', folder) };
    const { logged, rows } = await runStage(format, { options: { preset: 'chat', ...options }, inputs });
    const warnings = logged.filter(({ level }) => level === 'warning').map(({ message }) => message);
    expect(warnings).toEqual(said === undefined ? [] : [expect.stringContaining(said)]);
    expect(rows('dataset')[0]?.completion).toMatch(/^(\n<\/think>\n\n)?42/);
  });

  it('refuses a model without a chat template, or with a broken one', async () => {
    const folder = await temporaryFolder();
    const formatWith = async (config: object) => {
      await writeFile(join(folder, 'tokenizer_config.json'), JSON.stringify(config));
      return await runStage(format, { inputs: { dataset: table([row]), model: memoryArtifact('model', folder) } });
    };
    await expect(formatWith({})).rejects.toMatchObject({ code: 'template_missing' });
    await expect(formatWith({ chat_template: '{% if %}' })).rejects.toMatchObject({ code: 'template_invalid' });
  });

  it('stops a chat template that would go on for hours', async () => {
    const folder = await temporaryFolder();
    const loops = ['a', 'b', 'c'].map((name) => `{% for ${name} in range(30000) %}`);
    const chat_template = `${loops.join('')}${'{% endfor %}'.repeat(loops.length)}`;
    await writeFile(join(folder, 'tokenizer_config.json'), JSON.stringify({ chat_template }));
    const inputs = { dataset: table([row]), model: memoryArtifact('model', folder) };
    await expect(runStage(format, { inputs })).rejects.toMatchObject({
      code: 'template_invalid',
      message: `The chat template of ${folder} fails: it takes more than a second.`,
    });
  });

  it('names the row that lacks its trace, or drops it when asked', async () => {
    const dataset = table([row, { ...row, reasoning: ' ' }]);
    await expect(runStage(format, { inputs: { dataset } })).rejects.toMatchObject({
      code: 'value_missing',
      message: 'Row r1 has no reasoning.',
      hint: expect.stringContaining('set `preset: chat` here to train on the answers alone'),
    });
    const result = await runStage(format, { options: { missing: 'drop' }, inputs: { dataset } });
    expect(result.rows('dataset')).toHaveLength(1);
    expect(result.rows('decisions')[1]).toMatchObject({ rule: 'no_reasoning' });
  });

  it('refuses to drop every row', async () => {
    const dataset = table([
      { ...row, reasoning: ' ' },
      { ...row, reasoning: null },
    ]);
    await expect(runStage(format, { options: { missing: 'drop' }, inputs: { dataset } })).rejects.toMatchObject({
      code: 'no_rows',
      message: 'Each of the 2 rows has no reasoning.',
      hint: expect.stringContaining('`preset: chat`'),
    });
  });
});
