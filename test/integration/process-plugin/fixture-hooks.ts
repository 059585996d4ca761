import { writeFile } from 'node:fs/promises';
import { type ServerDuplexStream, status } from '@grpc/grpc-js';
import {
  type AfterPlanRequest,
  type AfterPlanResponse,
  type AroundStageRequest,
  type AroundStageResponse,
  type BeforePlanRequest,
  type BeforePlanResponse,
  Hook,
  type HookedStage,
} from '../../../core/generated/simmer/plugin/v1/hook.js';
import type { Answer } from './fixture-planning.js';

/** Words that have the program take part by hooks: `hooks` does it right. */
export const hookMisbehaviors = [
  'hooks',
  'hook-unknown',
  'before-plan-crash',
  'before-plan-hang',
  'before-plan-rubbish',
  'before-plan-list',
  'after-plan-silent',
  'after-plan-refuse',
  'around-crash',
  'around-crash-after',
  'around-hang',
  'around-hang-after',
  'around-never',
  'around-twice',
  'around-no-end',
  'around-more',
  'around-empty',
  'around-fails',
  'event-crash',
  'prints',
  'event-open-hang',
  'event-hang',
  'event-close-hang',
  'hooks-in-secret',
] as const;

export function hooksOf(misbehavior: string): Hook[] {
  if (misbehavior === 'hook-unknown') return [99 as Hook];
  if (misbehavior === 'hooks-in-secret' || !(hookMisbehaviors as readonly string[]).includes(misbehavior)) return [];
  return [Hook.HOOK_BEFORE_PLAN, Hook.HOOK_AFTER_PLAN, Hook.HOOK_AROUND_STAGE, Hook.HOOK_ON_EVENT];
}

/** Whether hooks are answered at all. */
export function answersHooks(misbehavior: string): boolean {
  return (hookMisbehaviors as readonly string[]).includes(misbehavior);
}

/** Puts a zero behind the rows of a stage called "greet", where it has any. */
export function beforePlan({ recipeJson }: BeforePlanRequest, misbehavior: string): Answer<BeforePlanResponse> {
  if (misbehavior === 'before-plan-crash') process.exit(9);
  if (misbehavior === 'before-plan-hang') return 'none';
  if (misbehavior === 'prints') process.stderr.write('looking at a recipe\n');
  if (misbehavior === 'before-plan-rubbish') return { response: { recipeJson: '{' } };
  if (misbehavior === 'before-plan-list') return { response: { recipeJson: '[]' } };
  const recipe = JSON.parse(recipeJson);
  const given = recipe.stages?.greet?.with;
  if (given?.rows === undefined) return { response: {} };
  given.rows *= 10;
  return { response: { recipeJson: JSON.stringify(recipe) } };
}

/** Has something against more than 500 rows. */
export function afterPlan({ planJson }: AfterPlanRequest, misbehavior: string): Answer<AfterPlanResponse> {
  if (misbehavior === 'after-plan-silent') return { response: { objections: [{ message: '' }] } };
  if (misbehavior === 'after-plan-refuse') return { error: { code: status.INTERNAL, details: 'no opinion' } };
  const { stages } = JSON.parse(planJson);
  const loud = stages.filter(
    ({ options }: { readonly options: { readonly rows?: number } }) => (options.rows ?? 0) > 500,
  );
  return {
    response: {
      objections: loud.map(({ name }: { readonly name: string }) => {
        return { code: 'too_loud', message: `${name} is too loud.`, path: `stages.${name}.with.rows`, hint: 'Psst.' };
      }),
    },
  };
}

type AroundCall = ServerDuplexStream<AroundStageRequest, AroundStageResponse>;

interface AroundHost {
  /** A line in the run's log. */
  say(stage: HookedStage, line: string): Promise<unknown>;
  /** Resolves when the host cancels the call. */
  canceled(callId: string): Promise<void>;
}

/** Says before and after what it runs around. */
export function aroundStage(call: AroundCall, misbehavior: string, host: AroundHost): void {
  let stage: HookedStage | undefined;
  call.on('data', ({ request }: AroundStageRequest) => {
    if (request?.$case === 'stage') {
      stage = request.value;
      void begin(call, stage, misbehavior, host);
    } else if (stage !== undefined) {
      void end(call, stage, request?.value.failure?.code ?? 'nothing', misbehavior, host);
    }
  });
}

async function begin(call: AroundCall, stage: HookedStage, misbehavior: string, host: AroundHost): Promise<void> {
  switch (misbehavior) {
    case 'around-crash':
      return process.exit(11);
    case 'around-hang':
      await host.canceled(stage.callId);
      return void call.emit('error', { code: status.CANCELLED, details: 'stopped' });
    case 'around-fails':
      call.write({
        response: {
          $case: 'failed',
          value: { code: 'no_mood', message: 'It would rather not.', hint: 'Try tomorrow.' },
        },
      });
      return void call.end();
    case 'around-never':
      call.write({ response: { $case: 'completed', value: {} } });
      return void call.end();
    case 'around-empty':
      call.write({ response: undefined });
      return void call.end();
    default:
      await host.say(stage, `before ${stage.stageName}, attempt ${stage.attempt} of ${stage.uses}`);
      call.write({ response: { $case: 'runInside', value: {} } });
  }
}

async function end(
  call: AroundCall,
  stage: HookedStage,
  failure: string,
  misbehavior: string,
  host: AroundHost,
): Promise<void> {
  if (misbehavior === 'around-crash-after') process.exit(12);
  if (misbehavior === 'around-hang-after') return;
  if (misbehavior === 'around-no-end') return void call.end();
  if (misbehavior === 'around-twice' && failure === 'nothing') {
    call.write({ response: { $case: 'runInside', value: {} } });
    return;
  }
  await host.say(stage, `after ${stage.stageName}: ${failure} failed`);
  call.write({ response: { $case: 'completed', value: {} } });
  if (misbehavior === 'around-more') call.write({ response: { $case: 'completed', value: {} } });
  call.end();
}

/** Where the types of all events are written down: in the folder where the process was started. */
export function writeTypes(types: readonly string[]): Promise<void> {
  return writeFile('event-types.json', JSON.stringify(types));
}
