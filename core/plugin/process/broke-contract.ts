import { UserError } from '../../errors.js';

/** An answer that plugin.proto does not allow. @param what it did: "named an output that it does not have" */
export function brokeContract(what: string): UserError {
  return new UserError('plugin_broke_contract', `The plugin ${what}.`, {
    kind: 'runFailed',
    hint: 'This is a mistake in the plugin: `simmer plugin verify` shows its author where.',
  });
}
