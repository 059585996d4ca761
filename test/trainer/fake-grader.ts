import { existsSync, writeFileSync } from 'node:fs';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import {
  type GraderServiceServer,
  GraderServiceService,
  Verdict,
} from '../../core/generated/simmer/grader/v1/grader.js';

/**
 * A grader process for tests: right where answer and gold are the same text. It explains each grade by the question. The
 * answer "die" kills it, once where FAKE_GRADER_DIED names a file that is not there yet.
 */
const service: GraderServiceServer = {
  describe: (_, callback) => callback(null, { name: 'fake', version: '1', versions: {} }),
  grade({ request }, callback) {
    const died = process.env.FAKE_GRADER_DIED;
    if (request.items.some((item) => item.answer === 'die') && (died === undefined || !existsSync(died))) {
      if (died !== undefined) writeFileSync(died, '');
      process.stderr.write('the fake grader dies of an answer\n');
      process.kill(process.pid, 'SIGKILL');
    }
    const grades = request.items.map(({ id, gold, answer, question }) => ({
      id,
      verdict:
        answer === '' ? Verdict.VERDICT_UNPARSED : answer === gold ? Verdict.VERDICT_RIGHT : Verdict.VERDICT_WRONG,
      parsedAnswer: answer,
      parsedGold: gold,
      explanation: question ?? 'not asked',
    }));
    callback(null, { grades });
  },
};

const server = new Server({ 'grpc.max_receive_message_length': 64 * 2 ** 20 });
server.addService(GraderServiceService, service);
new HealthImplementation({ 'simmer.grader.v1.GraderService': 'SERVING' }).addToServer(server);
const address = process.env.SIMMER_GRADER_ADDRESS ?? '';
server.bindAsync(address, ServerCredentials.createInsecure(), (error) => {
  if (error !== null) throw error;
  process.stdout.write(`SIMMER-GRADER|1|1|${address}\n`);
});
process.stdin.resume().once('end', () => process.exit(0));
