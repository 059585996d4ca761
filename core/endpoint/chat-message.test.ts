import { expect, it } from 'vitest';
import { chatMessage } from './chat-message.js';

const text = (words: string) => ({ type: 'text', text: words });

it.each([
  ['a text', { content: '4' }, '4', undefined],
  ['nothing', { content: null }, '', undefined],
  ['thinking apart', { content: '4', reasoning_content: 'two and two' }, '4', 'two and two'],
  ['thinking as vLLM calls it', { content: '4', reasoning: 'two and two' }, '4', 'two and two'],
  ['thinking by the second name', { content: '4', reasoning_content: '', reasoning: 'two' }, '4', 'two'],
  [
    'thinking in a part alone',
    { content: [{ type: 'thinking', thinking: 'two' }, text('4')], reasoning: '' },
    '4',
    'two',
  ],
  ['thinking that is empty', { content: '4', reasoning_content: '' }, '4', ''],
  ['parts', { content: [text('4'), { type: 'reference', reference_ids: [1] }, text('2')] }, '42', undefined],
  ['thinking in a part', { content: [{ type: 'thinking', thinking: 'two' }, text('4')] }, '4', 'two'],
  [
    'thinking in parts of a part',
    { content: [{ type: 'thinking', thinking: [text('two '), text('and two')] }, text('4')] },
    '4',
    'two and two',
  ],
])('reads a message with %s', (_, message, content, thinking) => {
  expect(chatMessage.parse(message)).toMatchObject({ content, thinking });
});

it('takes no message whose content is something else', () => {
  expect(chatMessage.safeParse({ content: 4 }).success).toBe(false);
});
