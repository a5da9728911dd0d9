// What the code emits.
import { execFileSync } from 'node:child_process';
import { type Row } from './logs';
import { type Value, read, root } from './template';

export interface Emitted {
  metrics: Set<string>; // of the namespace Hearth, with the dimension FunctionName
  lines: Row[]; // of the log
}

let known: Emitted | undefined;

/** What the real extension and the Python client write, and Lambda's own lines about a cold start in both log formats. */
export function emitted(): Emitted {
  return (known ??= namesIn(execFileSync('go', ['run', './internal/testing/samplelog'], { cwd: root, encoding: 'utf8' })));
}

// Logs Insights makes the first row of the line "REPORT RequestId: … Init Duration: 180.5 ms …".
const reports: Row[] = [
  { '@type': 'REPORT', '@initDuration': 180.5, '@maxMemoryUsed': 93e6 },
  flat({ type: 'platform.report', record: { metrics: { initDurationMs: 190.5, maxMemoryUsedMB: 94 } } }),
];

// The last one cannot be made to happen from outside.
const apiEnded = 'the API has ended; the extension goes on without it';

function namesIn(log: string): Emitted {
  const objects: Value[] = log.split('\n').filter((one) => one.startsWith('{')).map((one) => JSON.parse(one));
  const sets: Value[] = objects.flatMap(({ _aws }) => _aws?.CloudWatchMetrics ?? []);
  const metrics = sets.filter(({ Namespace, Dimensions }) => Namespace === 'Hearth' && `${Dimensions}` === 'FunctionName').flatMap(({ Metrics }) => Metrics);
  const lines = [...objects.map(flat), ...reports];
  if (read('internal/app/lambda.go').includes(`log.Error("${apiEnded}"`)) {
    lines.push({ ...lines.find(({ level }) => level === 'ERROR'), msg: apiEnded });
  }
  return { metrics: new Set(metrics.map(({ Name }: Value) => Name)), lines };
}

/** The fields as Logs Insights names them: a.b for those of an object. */
function flat(line: Value): Row {
  return Object.fromEntries(Object.entries(line).flatMap(([name, value]: [string, Value]) =>
    value?.constructor === Object ? Object.entries(flat(value)).map(([inner, of]) => [`${name}.${inner}`, of]) : [[name, value]]));
}
