// What the code emits.
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { type Value, read, root } from './template';

export interface Emitted {
  metrics: Set<string>; // of the namespace Hearth, with the dimension FunctionName
  fields: Set<string>; // of log lines
  texts: Set<string>; // in such fields
}

let known: Emitted | undefined;

/** The names in the log of the real extension and the Python client, and those in Hearth's own log lines. */
export function emitted(): Emitted {
  return (known ??= namesIn(execFileSync('go', ['run', './internal/testing/samplelog'], { cwd: root, encoding: 'utf8' })));
}

function namesIn(log: string): Emitted {
  const metrics: Value[] = [];
  const written = logCalls();
  const fields = [...written];
  const texts = ['WARN', 'ERROR', ...written]; // the levels of slog
  for (const line of log.split('\n').filter((one) => one.startsWith('{')).map((one) => JSON.parse(one))) {
    if (line._aws) {
      metrics.push(...line._aws.CloudWatchMetrics.filter((set: Value) => set.Namespace === 'Hearth' && `${set.Dimensions}` === 'FunctionName'));
    } else {
      fields.push(...fieldsOf(line));
      texts.push(line.operation ?? line.extension);
    }
  }
  return { metrics: new Set(metrics.flatMap(({ Metrics }) => Metrics.map(({ Name }: Value) => Name))), fields: new Set(fields), texts: new Set(texts) };
}

/** The fields as Logs Insights names them: a.b for those of an object. */
function fieldsOf(line: Value): string[] {
  return Object.entries(line).flatMap(([name, value]: [string, Value]) =>
    value?.constructor === Object ? fieldsOf(value).map((inner) => `${name}.${inner}`) : [name]);
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
