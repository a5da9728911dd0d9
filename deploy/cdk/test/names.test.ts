// Every metric, field and text that observability.yaml names is one that the code emits.
import * as assert from 'node:assert/strict';
import { test } from 'node:test';
import { emitted } from './emitted';
import { type Value, parse, read } from './template';

interface Names {
  metrics: string[]; // of the namespace Hearth
  fields: string[]; // of log lines
  texts: string[]; // that a field is compared with
}

const observability = read('deploy/observability.yaml');

/** The names that the template uses. It throws if a name of the template's own, or of AWS, does not exist. */
function namesIn(text: string): Names {
  const { Resources } = parse(text);
  const names: Names = { metrics: [], fields: [], texts: [] };
  const own = new Set<string>(); // metrics that the template makes of log lines
  const of = (type: string) => Object.values(Resources).filter(({ Type }) => Type === type).map(({ Properties }) => Properties);

  for (const { FilterPattern, MetricTransformations } of of('AWS::Logs::MetricFilter')) {
    names.fields.push(...FilterPattern.match(/(?<=\$\.)[\w.]+/g));
    names.texts.push(...quoted(FilterPattern).filter((one) => one !== '*'));
    own.add(metricName(MetricTransformations[0].MetricName));
  }
  const use = (namespace: string, name: string) => {
    const known: Record<string, () => boolean> = {
      Hearth: () => names.metrics.push(name) > 0,
      'Hearth/Logs': () => own.has(name),
      'AWS/Lambda': () => ['Errors', 'Invocations', 'Throttles'].includes(name),
    };
    assert.ok(known[namespace]?.(), `there is no metric ${name} in the namespace ${namespace}`);
  };
  for (const alarm of of('AWS::CloudWatch::Alarm')) {
    const queries: Value[] = alarm.Metrics ?? [{ MetricStat: { Metric: alarm } }];
    for (const { Metric } of queries.flatMap((query) => query.MetricStat ?? [])) {
      use(Metric.Namespace, metricName(Metric.MetricName));
    }
    checkMath(queries.map(({ Id, Expression }) => ({ id: Id, expression: expressionText(Expression) })));
    assert.ok(!alarm.ThresholdMetricId || queries.some(({ Id }) => Id === alarm.ThresholdMetricId), `there is no metric ${alarm.ThresholdMetricId}`);
  }
  for (const { QueryString } of of('AWS::Logs::QueryDefinition')) {
    addQuery(QueryString, names);
  }
  for (const { properties } of of('AWS::CloudWatch::Dashboard').flatMap(widgetsOf)) {
    for (const metric of properties.metrics ?? []) {
      if (typeof metric[0] === 'string') {
        use(metric[0], metric[1]);
      }
    }
    checkMath((properties.metrics ?? []).map((metric: Value[]) => metric.at(-1)));
    if (properties.query) {
      addQuery(properties.query.replace(/^SOURCE '[^']+' \| /, ''), names);
    }
  }
  return names;
}

const metricName = (name: Value) => (typeof name === 'string' ? name : name['Fn::Join'][1].map((part: Value) => part.Ref ?? part).join('-'));
const expressionText = (expression: Value) => (expression?.['Fn::Join'] ? expression['Fn::Join'][1].map((part: Value) => (part.Ref ? '1' : part)).join('') : expression);
const quoted = (text: string) => [...text.matchAll(/"([^"]*)"/g)].map(([, inner]) => inner);

function widgetsOf({ DashboardBody }: Value): Value[] {
  const [body, values] = DashboardBody['Fn::Sub'];
  return JSON.parse(body.replace(/\$\{(\w+)\}/g, (_: string, name: string) => (name === 'MinHitRate' ? '1' : values[name].Ref))).widgets;
}

/** The names in math expressions are those of other metrics. */
function checkMath(metrics: { id?: string; expression?: string }[]) {
  for (const { expression } of metrics) {
    for (const name of expression?.match(/[A-Za-z]\w*/g) ?? []) {
      assert.ok(['IF', 'ANOMALY_DETECTION_BAND'].includes(name) || metrics.some(({ id }) => id === name), `there is no metric ${name} for ${expression}`);
    }
  }
}

/** Adds what a query of Logs Insights names. What is neither a word of its language nor a name made by "as" is a field. */
function addQuery(query: string, names: Names) {
  const made = [...query.matchAll(/\bas (\w+)/g)].map(([, name]) => name);
  const words = ['filter', 'stats', 'fields', 'sort', 'limit', 'by', 'as', 'and', 'or', 'in', 'desc', 'count', 'avg', 'pct', 'max', 'bin', 'ispresent', 'm', 'h'];
  const insights = ['@timestamp', '@type', '@initDuration', '@maxMemoryUsed'];
  const found = query.replace(/"[^"]*"/g, '').match(/@?[A-Za-z][\w.]*/g) ?? [];
  names.fields.push(...found.filter((word) => ![...made, ...words, ...insights].includes(word)));
  names.texts.push(...quoted(query).filter((text) => text !== 'REPORT'));
}

const missing = (names: Names) => (['metrics', 'fields', 'texts'] as const).flatMap((kind) =>
  [...new Set(names[kind])].filter((name) => !emitted()[kind].has(name)).map((name) => `${kind}: ${name}`));

test('the code emits everything that the dashboard, the alarms and the queries name', () => {
  assert.deepEqual(missing(namesIn(observability)), []);
});

test('the dashboard shows every count, and the duration of every operation that the client measures', () => {
  const { metrics } = namesIn(observability);
  const notShown = /^(hearth\.(job|drop_cache)|failing_operation)_duration$/;
  assert.deepEqual([...emitted().metrics].filter((name) => !metrics.includes(name) && !notShown.test(name)), []);
});

test('each wrong name is found', () => {
  const faults: [right: string, wrong: string, found: RegExp][] = [
    ['"Hearth", "dials"', '"Hearth", "dialled"', /^metrics: dialled$/],
    ['MetricName: breaker_open', 'MetricName: breakers_open', /^metrics: breakers_open$/],
    ['MetricName: stale, D', 'MetricName: old, D', /^metrics: old$/],
    ['avg(duration_ms), pct', 'avg(duration), pct', /^fields: duration$/],
    ['$.operation', '$.op', /^fields: op$/],
    ['cache.mute_status', 'cache.muted', /^fields: cache.muted$/],
    ['"lambda_handler_total"', '"handler_total"', /^texts: handler_total$/],
    ['"warm-up failed"', '"warming failed"', /^texts: warming failed$/],
    ['"serving degraded"', '"degraded"', /^texts: degraded$/],
  ];
  for (const [right, wrong, found] of faults) {
    assert.ok(observability.includes(right), `the template has no ${right}`);
    assert.match(missing(namesIn(observability.replace(right, wrong))).join('\n'), new RegExp(found, 'm'));
  }
  const broken: [right: string, wrong: string, found: RegExp][] = [
    ['"AWS/Lambda", "Errors"', '"AWS/Lambda", "Error"', /no metric Error /],
    ['${Function}-not-ready', '${Function}-notready', /no metric FunctionName-notready /],
    ['(hits + stale) / (hits', '(hits + old) / (hits', /no metric old /],
    ['ANOMALY_DETECTION_BAND(p95', 'ANOMALY_DETECTION_BAND(p99', /no metric p99 /],
    ['ThresholdMetricId: usual', 'ThresholdMetricId: band', /no metric band/],
    ['"widgets": [', '"widgets": [,', /JSON/],
  ];
  for (const [right, wrong, found] of broken) {
    assert.ok(observability.includes(right), `the template has no ${right}`);
    assert.throws(() => namesIn(observability.replace(right, wrong)), found);
  }
});
