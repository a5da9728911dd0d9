import * as assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { test } from 'node:test';
import { faultsOf, parse, read, root } from './template';

const sam = read('deploy/sam/template.yaml');
const observability = read('deploy/observability.yaml');

test('CloudFormation and SAM know everything in the templates', () => {
  assert.deepEqual(faultsOf(observability), []);
  assert.deepEqual(faultsOf(sam), []);
});

test('each fault of a template is found', () => {
  const faults: [template: string, right: string, wrong: string, found: RegExp][] = [
    [sam, 'MemorySize:', 'Memory:', /Function: there is no property Memory$/],
    [sam, 'MemorySize: 512', 'MemorySize: 5', /MemorySize: 5 is less than/],
    [sam, 'Timeout: 30', 'Timeout: soon', /Timeout: 'soon' is not of type 'integer'/],
    [sam, 'Runtime: python3.13', 'Runtime: python9.9', /Runtime/],
    [sam, 'LogFormat: !Ref LogFormat', 'LogFormat: XML', /'XML' is not one of/],
    [sam, 'CodeUri:', 'CodeURI:', /Function: there is no property CodeURI$/],
    [sam, 'ContentUri:', 'ContentURI:', /HearthLayer: there is no property ContentURI$/],
    [sam, 'AutoPublishAliasAllProperties:', 'AutoPublishAliasAll:', /Function: there is no property AutoPublishAliasAll$/],
    [sam, 'Effect: Allow', 'Effect: Permit', /Effect: 'Permit' is not one of/],
    [sam, 'Action: kms:Decrypt', 'Actions: kms:Decrypt', /Statement.*Action/],
    [sam, 'LogFormat: !Ref', 'LogFormatt: !Ref', /Function.LoggingConfig: there is no property LogFormatt$/],
    [sam, 'CompatibleArchitectures:', 'Architectures:', /HearthLayer: there is no property Architectures$/],
    [sam, 'AWS::Serverless::LayerVersion', 'AWS::Serverless::Layer', /there is no type AWS::Serverless::Layer$/],
    [sam, '            Statement:', '            Statements:', /'Statement' is a required property/],
    [sam, ' RetentionInDays:', ' RetentionDays:', /LogGroup: there is no property RetentionDays$/],
    [sam, '!Ref WeaviateUrl', '!Ref WeaviateURL', /'WeaviateURL' is not one of/],
    [sam, '- HasOdooKey', '- HasOdoo', /condition 'HasOdoo' does not exist/],
    [sam, '!GetAtt Observability.', '!GetAtt Observabilities.', /Observabilities.*does not exist/],
    [observability, 'MetricStat:', 'MetricStatistic:', /HitRateLimitAlarm.Metrics\[1\]: there is no property MetricStatistic$/],
    [observability, 'QueryString:', 'Query:', /AverageQuery: there is no property Query$/],
    [observability, 'QueryString:', 'Query:', /'QueryString' is a required property/],
    [observability, 'GreaterThanThreshold', 'MoreThanThreshold', /'MoreThanThreshold' is not one of/],
    [observability, '[!Ref MaxP95Milliseconds,', '[!Ref Dashboard,', /a condition refers to Dashboard/],
    [observability, '${LogGroup}', '${LogGroupe}', /'\$\{LogGroupe\}' does not reference/],
  ];
  for (const [template, right, wrong, found] of faults) {
    assert.ok(template.includes(right), `the template has no ${right}`);
    assert.match(faultsOf(template.replace(right, wrong)).join('\n'), new RegExp(found, 'm'));
  }
  assert.throws(() => parse('a: &a 1\nb: *a'), /aliases/);
});

test('the SAM template names what this repository has', () => {
  const { HearthLayer, Function: fn, Observability } = parse(sam).Resources;
  const from = (file: string) => path.relative(root, path.resolve(root, 'deploy/sam', file));

  assert.equal(from(HearthLayer.Properties.ContentUri), `dist/hearth-layer-${fn.Properties.Architectures[0]}.zip`);
  assert.deepEqual(HearthLayer.Properties.CompatibleArchitectures, fn.Properties.Architectures);
  assert.match(read('layer.zip.sh'), new RegExp(`^layer ${fn.Properties.Architectures[0]} `, 'm'));

  const [file, name] = fn.Properties.Handler.split('.');
  assert.match(fs.readFileSync(path.join(root, from(fn.Properties.CodeUri), `${file}.py`), 'utf8'), new RegExp(`^def ${name}\\(event, context\\)`, 'm'));

  assert.equal(from(Observability.Properties.TemplateURL), 'deploy/observability.yaml');
  const { Parameters = {}, Outputs = {} } = parse(observability);
  for (const parameter of Object.keys(Observability.Properties.Parameters)) {
    assert.ok(parameter in Parameters, `observability.yaml has no parameter ${parameter}`);
  }
  const [, output] = parse(sam).Outputs!.DashboardUrl.Value['Fn::GetAtt'];
  assert.ok(Object.keys(Outputs).some((name) => output === `Outputs.${name}`), `observability.yaml has no ${output}`);
});

test('Hearth reads each variable that the SAM template sets', () => {
  const settings = read('internal/settings/settings.go');
  for (const name of Object.keys(parse(sam).Resources.Function.Properties.Environment.Variables)) {
    assert.ok(settings.includes(`env:"${name}"`), `Hearth does not read ${name}`);
  }
});

test('the SAM template has a parameter for each setting of existing classes', () => {
  const [, part] = read('docs/weaviate.md').split('## Classes that others made');
  const settings = [...part.matchAll(/^\| `(HEARTH_\w+)` \| `([^`]+)` \|/gm)];
  assert.ok(settings.length >= 5, 'docs/weaviate.md has no table of settings');

  const { Parameters = {}, Resources } = parse(sam);
  const variables = Resources.Function.Properties.Environment.Variables;
  for (const [, name, byDefault] of settings) {
    assert.ok(name in variables, `the function has no ${name}`);
    assert.equal(Parameters[variables[name].Ref].Default, byDefault, name);
  }
});

test('a secret is given by its whole ARN', () => {
  const { Parameters = {} } = parse(sam);
  for (const name of ['WeaviateApiKeyArn', 'OdooKeyArn']) {
    const allowed = new RegExp(Parameters[name].AllowedPattern);
    for (const arn of [
      '', 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:weaviate-AbCdEf', 'arn:aws-us-gov:ssm:us-gov-west-1:123456789012:parameter/odoo/key',
      'arn:aws:secretsmanager:eu-central-1:123456789012:secret:chatbot-AbCdEf#weaviate',
    ]) {
      assert.match(arn, allowed);
    }
    for (const text of ['my-key', 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:weaviate-*', 'arn:aws:iam::123456789012:role/x']) {
      assert.doesNotMatch(text, allowed);
    }
  }
});
