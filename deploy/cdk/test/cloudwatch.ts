// Finds what CloudWatch would refuse in an alarm or a dashboard, and what would make it useless. CloudFormation's schemas do not say these rules.
import { type Value } from './template';

const statistic = /^(Average|Sum|Minimum|Maximum|SampleCount|p\d{1,2}(\.\d+)?)$/;

class Faults extends Array<string> {
  unless(right: boolean, fault: string) {
    if (!right) {
      this.push(fault);
    }
  }
}

export function alarmFaults(alarm: Value): string[] {
  const faults = new Faults();
  const band = alarm.ThresholdMetricId !== undefined;
  faults.unless(band || alarm.Threshold !== undefined, 'there is no threshold');
  faults.unless(!band || alarm.Threshold === undefined, 'there are two thresholds');
  faults.unless(band === /(Upper|Lower)Threshold$/.test(alarm.ComparisonOperator), `${alarm.ComparisonOperator} does not go with this threshold`);
  faults.unless(alarm.EvaluationPeriods >= (alarm.DatapointsToAlarm ?? 1), 'there are too few evaluation periods');
  faults.unless(alarm.TreatMissingData === 'notBreaching', 'a function that is not called would alarm');

  const single = { ReturnData: true, MetricStat: { Period: alarm.Period, Stat: alarm.Statistic ?? alarm.ExtendedStatistic } };
  const metrics: Value[] = alarm.Metrics ?? [single];
  faults.unless(!alarm.Metrics || !alarm.MetricName, 'there are two metrics');
  faults.unless(!alarm.Statistic || !alarm.ExtendedStatistic, 'there are two statistics');
  faults.unless(metrics.filter(({ ReturnData }) => ReturnData !== false).length === (band ? 2 : 1), 'it must return the metric that is compared, the band if there is one, and nothing else');
  faults.unless(!band || metrics.some(({ Id, Expression }) => Id === alarm.ThresholdMetricId && /^ANOMALY_DETECTION_BAND\(/.test(Expression)), 'the threshold metric is no anomaly band');
  for (const { MetricStat } of metrics.filter((metric) => metric.MetricStat)) {
    faults.unless(statistic.test(MetricStat.Stat), `there is no statistic ${MetricStat.Stat}`);
    faults.unless(MetricStat.Period > 0 && MetricStat.Period % 60 === 0, `there is no period of ${MetricStat.Period} s`);
  }
  return faults;
}

// The members of widgets, and of metrics in them, that the dashboard uses. There are more.
const members: Record<string, string[]> = {
  metric: ['title', 'region', 'period', 'stat', 'yAxis', 'metrics', 'annotations', 'stacked'],
  log: ['title', 'region', 'view', 'query'],
};
const options = ['id', 'label', 'expression', 'visible', 'stat', 'yAxis'];

export function dashboardFaults(widgets: Value[]): string[] {
  const faults = new Faults();
  const taken = new Set<string>();
  for (const { type, x, y, width, height, properties } of widgets) {
    const title = properties.title;
    faults.unless(type in members && Object.keys(properties).every((name) => members[type].includes(name)), `${title}: a member is unknown`);
    faults.unless(x >= 0 && x + width <= 24, `${title}: a dashboard is 24 columns wide`);
    for (let cell = 0; cell < width * height; cell++) {
      const at = `${x + cell % width} ${y + Math.floor(cell / width)}`;
      faults.unless(!taken.has(at), `${title}: it lies over another widget`);
      taken.add(at);
    }
    faults.unless(properties.region === 'AWS::Region', `${title}: it has no region`);
    faults.unless(type !== 'log' || (properties.view === 'table' && /^SOURCE '[^']+' \| /.test(properties.query)), `${title}: it shows no query`);
    for (const metric of properties.metrics ?? []) {
      const last = metric.at(-1);
      const given = typeof last === 'object' ? last : {};
      faults.unless(Object.keys(given).every((name) => options.includes(name)), `${title}: an option of ${JSON.stringify(metric)} is unknown`);
      faults.unless(given.expression !== undefined || statistic.test(given.stat ?? properties.stat), `${title}: ${JSON.stringify(metric)} has no statistic`);
    }
    faults.unless(type !== 'metric' || properties.period % 60 === 0, `${title}: there is no period of ${properties.period} s`);
  }
  return [...new Set(faults)];
}
