// The code emits every metric, field and text that observability.yaml names. The template's queries and filters find the lines that they are for.
import * as assert from 'node:assert/strict';
import { test } from 'node:test';
import { alarmFaults, dashboardFaults } from './cloudwatch';
import { emitted } from './emitted';
import { type Query, type Row, filterPattern, insights } from './logs';
import { type Value, parse, read } from './template';

const observability = read('deploy/observability.yaml');

const of = (text: string, type: string): [id: string, properties: Value][] =>
  Object.entries(parse(text).Resources).filter(([, { Type }]) => Type === type).map(([id, { Properties }]) => [id, Properties]);

const metricName = (name: Value) => (typeof name === 'string' ? name : name['Fn::Join'][1].map((part: Value) => part.Ref ?? part).join('-'));
const expressionText = (expression: Value) => (expression?.['Fn::Join'] ? expression['Fn::Join'][1].map((part: Value) => (part.Ref ? '1' : part)).join('') : expression);

function widgetsOf(text: string): Value[] {
  return of(text, 'AWS::CloudWatch::Dashboard').flatMap(([, { DashboardBody }]) => {
    const [body, values] = DashboardBody['Fn::Sub'];
    return JSON.parse(body.replace(/\$\{(\w+)\}/g, (_: string, name: string) => values[name].Ref)).widgets;
  });
}

/** The metrics of Hearth that the template names. It throws if a metric of the template's own, or of AWS, does not exist. */
function metricsIn(text: string): string[] {
  const own = of(text, 'AWS::Logs::MetricFilter').map(([, { MetricTransformations }]) => metricName(MetricTransformations[0].MetricName));
  const found: string[] = [];
  const use = (namespace: string, name: string, dimensions: string[]) => {
    const known: Record<string, () => boolean> = {
      Hearth: () => found.push(name) > 0,
      'Hearth/Logs': () => own.includes(name),
      'AWS/Lambda': () => ['Errors', 'Invocations', 'Throttles'].includes(name),
    };
    assert.ok(known[namespace]?.(), `there is no metric ${name} in the namespace ${namespace}`);
    assert.deepEqual(dimensions, namespace === 'Hearth/Logs' ? [] : ['FunctionName', 'FunctionName'], `the dimensions of ${name} are wrong`);
  };
  for (const [, alarm] of of(text, 'AWS::CloudWatch::Alarm')) {
    const queries: Value[] = alarm.Metrics ?? [{ MetricStat: { Metric: alarm } }];
    for (const { Metric } of queries.flatMap((query) => query.MetricStat ?? [])) {
      use(Metric.Namespace, metricName(Metric.MetricName), (Metric.Dimensions ?? []).flatMap(({ Name, Value }: Value) => [Name, Value.Ref]));
    }
    checkMath(queries.map(({ Id, Expression }) => ({ id: Id, expression: expressionText(Expression) })));
  }
  for (const { properties } of widgetsOf(text)) {
    for (const [namespace, name, ...dimensions] of (properties.metrics ?? []).filter(([first]: Value[]) => typeof first === 'string')) {
      use(namespace, name, dimensions.filter((one: Value) => typeof one === 'string'));
    }
    checkMath((properties.metrics ?? []).map((metric: Value[]) => metric.at(-1)));
  }
  return found;
}

/** The names in math expressions are those of other metrics. */
function checkMath(metrics: { id?: string; expression?: string }[]) {
  for (const { expression } of metrics) {
    for (const name of expression?.match(/[A-Za-z]\w*/g) ?? []) {
      assert.ok(['IF', 'ANOMALY_DETECTION_BAND'].includes(name) || metrics.some(({ id }) => id === name), `there is no metric ${name} for ${expression}`);
    }
  }
}

const filtersIn = (text: string): [id: string, query: Query][] =>
  of(text, 'AWS::Logs::MetricFilter').map(([id, { FilterPattern }]) => [id, filterPattern(FilterPattern)]);

const queriesIn = (text: string): [id: string, query: Query][] => [
  ...filtersIn(text),
  ...of(text, 'AWS::Logs::QueryDefinition').map(([id, { QueryString }]): [string, Query] => [id, insights(QueryString)]),
  ...widgetsOf(text).filter(({ type }) => type === 'log').map(({ properties }): [string, Query] => [properties.title, insights(properties.query.replace(/^SOURCE '[^']+' \| /, ''))]),
];

/** What the template names and nothing emits. It throws if a query or a filter cannot be read. */
function missing(text: string): string[] {
  const { metrics, lines } = emitted();
  const fields = new Set(['@timestamp', ...lines.flatMap(Object.keys)]);
  const texts = new Set<Value>(['*', ...lines.flatMap(Object.values)]);
  return [
    ...metricsIn(text).filter((name) => !metrics.has(name)).map((name) => `metrics: ${name}`),
    ...queriesIn(text).flatMap(([id, query]) => [
      ...query.fields.filter((name) => !fields.has(name)).map((name) => `fields: ${name}`),
      ...query.texts.filter((name) => !texts.has(name)).map((name) => `texts: ${name}`),
      ...(query.run(lines).length > 0 ? [] : [`rows: ${id}`]),
    ]),
  ];
}

test('the code emits everything that the dashboard, the alarms and the queries name', () => {
  assert.deepEqual(missing(observability), []);
});

test('the dashboard shows every count, and the duration of every operation that the client measures', () => {
  const shown = metricsIn(observability);
  const notShown = /^(hearth\.(job|drop_cache)|(failing|slow)_operation)_duration$/;
  assert.deepEqual([...emitted().metrics].filter((name) => !shown.includes(name) && !notShown.test(name)), []);
});

test('each metric filter counts the lines that it is for, and no other', () => {
  const filters = Object.fromEntries(filtersIn(observability));
  const counted = (id: string) => filters[id].run(emitted().lines);
  assert.deepEqual(counted('FailedOperations').map(({ operation }) => operation), ['failing_operation']);
  const messages = ['not listening', 'serving degraded', 'the API has ended; the extension goes on without it', 'warm-up failed'];
  assert.deepEqual([...new Set(counted('NotReady').map(({ msg }) => msg))].sort(), messages);
});

test('the lines of the alarm that Hearth is not ready arrive when Lambda drops all below WARN', () => {
  const arrives = ({ level, timestamp }: Row) => ['WARN', 'ERROR', 'FATAL'].includes(level) && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(timestamp);
  const lines = Object.fromEntries(filtersIn(observability)).NotReady.run(emitted().lines);
  assert.deepEqual(lines.filter((line) => !arrives(line)), []);
});

test('a cold start is counted in both log formats', () => {
  const query = Object.fromEntries(queriesIn(observability)).ColdStartQuery;
  assert.deepEqual(query.run(emitted().lines).map(({ cold_starts, slowest }) => [cold_starts, slowest]), [[2, 190.5]]);
});

test('CloudWatch takes the alarms and the dashboard', () => {
  assert.deepEqual(of(observability, 'AWS::CloudWatch::Alarm').flatMap(([, alarm]) => alarmFaults(alarm)), []);
  assert.deepEqual(dashboardFaults(widgetsOf(observability)), []);
});

/** Replaces a text that the template has. */
function planted(right: string, wrong: string) {
  assert.ok(observability.includes(right), `the template has no ${right}`);
  return observability.replace(right, () => wrong);
}

test('each wrong name is found', () => {
  for (const [right, wrong, found] of [
    ['"Hearth", "dials"', '"Hearth", "dialled"', /^metrics: dialled$/m],
    ['MetricName: breaker_open', 'MetricName: breakers_open', /^metrics: breakers_open$/m],
    ['MetricName: stale, D', 'MetricName: old, D', /^metrics: old$/m],
    ['avg(duration_ms), pct', 'avg(duration), pct', /^fields: duration$/m],
    ['$.operation', '$.op', /^fields: op$/m],
    ['cache.mute_status', 'cache.muted', /^fields: cache.muted$/m],
    ['"lambda_handler_total"', '"handler_total"', /^texts: handler_total$/m],
    ['"warm-up failed"', '"warming failed"', /^texts: warming failed$/m],
    ['"serving degraded"', '"degraded"', /^texts: degraded$/m],
    ['duration_ms > 1000', 'duration_ms > 1000000', /^rows: SlowQuery$/m],
    ['ispresent(error)', 'error = "warm-up failed"', /^rows: FailedQuery$/m],
  ] as const) {
    assert.match(missing(planted(right, wrong)).join('\n'), found);
  }
});

test('each name that leads nowhere is found, and each query that cannot be read', () => {
  for (const [right, wrong, found] of [
    ['"AWS/Lambda", "Errors"', '"AWS/Lambda", "Error"', /no metric Error /],
    ['${Function}-not-ready', '${Function}-notready', /no metric FunctionName-notready /],
    ['(hits + stale) / (hits', '(hits + old) / (hits', /no metric old /],
    ['ANOMALY_DETECTION_BAND(p95', 'ANOMALY_DETECTION_BAND(p99', /no metric p99 /],
    ['"dials", "FunctionName"', '"dials", "Function"', /dimensions of dials/],
    ['Dimensions: [{Name: FunctionName', 'Dimensions: [{Name: Function', /dimensions of Errors/],
    ['"widgets": [', '"widgets": [,', /JSON/],
    ['| sort calls desc', '| sorted calls desc', /no command sorted/],
    ['| sort calls desc', '| sort calls down', /cannot read down/],
    ['by bin(5m)', 'by bin(5 minutes)', /bin needs a time/],
    ['pct(duration_ms, 95)', 'p95(duration_ms)', /no aggregate p95/],
    ['pct(duration_ms, 95)', 'pct(duration_ms)', /no aggregate pct/],
    ['ispresent(error)', 'present(error)', /no function present/],
    ['in ["WARN", "ERROR"]', 'in ("WARN", "ERROR")', /must be \[/],
    ['| limit 100', '| limit all', /limit needs a number/],
    ['$.operation = "*" &&', '$.operation = "*" AND', /cannot read AND/],
    ['&& ($.msg', '&& $.msg', /must be }/],
  ] as const) {
    assert.throws(() => missing(planted(right, wrong)), found);
  }
});

test('each fault of an alarm or a widget is found', () => {
  for (const [right, wrong, found] of [
    ['TreatMissingData: notBreaching', 'TreatMissingData: missing', /not called would alarm/],
    ['ExtendedStatistic: p95', 'ExtendedStatistic: q95', /no statistic q95/],
    ['ExtendedStatistic: p95', 'ExtendedStatistic: p95\n      Statistic: Sum', /two statistics/],
    ['Stat: p95', 'Stat: pp95', /no statistic pp95/],
    ['Period: 300', 'Period: 301', /no period of 301/],
    ['EvaluationPeriods: 3', 'DatapointsToAlarm: 3', /too few evaluation periods/],
    ['GreaterThanUpperThreshold', 'GreaterThanThreshold', /does not go with/],
    ['ThresholdMetricId: usual', 'Threshold: 5', /does not go with/],
    ['ThresholdMetricId: usual', 'ThresholdMetricId: p95', /no anomaly band/],
    ['ThresholdMetricId: usual', 'ThresholdMetricId: usual\n      Threshold: 5', /two thresholds/],
    ['Threshold: 0', 'ActionsEnabled: true', /no threshold/],
    ['ReturnData: true', 'ReturnData: false', /must return the metric that is compared/],
    ['Metrics:\n        - Id: rate', 'MetricName: hits\n      Metrics:\n        - Id: rate', /two metrics/],
    ['"type": "metric"', '"type": "metrics"', /a member is unknown/],
    ['"period": 300', '"periods": 300', /a member is unknown/],
    ['"period": 300', '"period": 90', /no period of 90/],
    ['"stat": "p95"', '"stat": "q95"', /has no statistic/],
    ['"width": 12', '"width": 25', /24 columns/],
    ['"x": 12, "y": 0', '"x": 6, "y": 0', /lies over/],
    ['"region": "${Region}", ', '', /no region/],
    ['"visible": false', '"visibel": false', /is unknown/],
    ['"view": "table"', '"view": "tables"', /shows no query/],
    ["SOURCE '${LogGroup}'", 'SOURCE ${LogGroup}', /shows no query/],
  ] as const) {
    const text = planted(right, wrong);
    assert.match([...of(text, 'AWS::CloudWatch::Alarm').flatMap(([, alarm]) => alarmFaults(alarm)), ...dashboardFaults(widgetsOf(text))].join('\n'), found);
  }
});
