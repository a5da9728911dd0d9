// What the code emits.
import * as fs from 'node:fs';
import * as path from 'node:path';
import { read, root } from './template';

export interface Emitted {
  metrics: Set<string>;
  fields: Set<string>;
  texts: Set<string>;
}

let known: Emitted | undefined;

export function emitted(): Emitted {
  return (known ??= collect());
}

function collect(): Emitted {
  const operations = ['lambda_handler_total', 'parallel_preprocessing', 'parallel_message_history', 'parallel_relevance_search'];
  const hearth = [
    'history', 'relevant', 'mute', 'set_mute', 'append', 'preprocess', 'odoo_models', 'odoo_call', 'batch', 'fetch', 'job', 'drop_cache',
  ].map((name) => `hearth.${name}`);
  const counts = ['hits', 'misses', 'stale', 'dials', 'reused', 'retries', 'breaker_open', 'queue_wait', 'cold_start', 'thaws'];
  const written = logCalls();
  return {
    metrics: new Set([...counts, ...[...operations, ...hearth].map((name) => `${name}_duration`)]),
    fields: new Set(['operation', 'duration_ms', 'request_id', 'cache', 'chat', 'error', 'level', 'msg', 'extension', ...written]),
    texts: new Set([...operations, 'hearth', 'WARN', 'ERROR', ...written]),
  };
}

/** The messages and fields of Hearth's own log lines, from its source: a run does not make all of them. */
function logCalls(): string[] {
  return ['cache', 'extension', 'internal/app', 'internal/sparse', 'pool', 'sidecar'].flatMap((folder) => {
    const files = fs.readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' });
    const code = files.filter((name) => name.endsWith('.go') && !name.endsWith('_test.go')).map((name) => read(folder, name));
    const calls = code.join('\n').match(/\.(Info|Warn|Error)(Context)?\(.*/g) ?? [];
    return calls.flatMap((call) => [...call.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, text]) => text));
  });
}
