import * as assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { after, test } from 'node:test';
import { App, Stack } from 'aws-cdk-lib';
import { Match, Template } from 'aws-cdk-lib/assertions';
import { Key } from 'aws-cdk-lib/aws-kms';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { StringParameter } from 'aws-cdk-lib/aws-ssm';
import { Hearth, HearthLayer, type HearthProps } from '../lib/hearth';
import { faultsOf, parse, read, root } from './template';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hearth-cdk-'));
after(() => fs.rmSync(folder, { recursive: true }));
const zip = path.join(folder, 'layer.zip'); // the layer itself is not needed to synthesize
fs.writeFileSync(zip, Buffer.concat([Buffer.from('PK\x05\x06'), Buffer.alloc(18)]));

const secretArn = 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:weaviate-AbCdEf';

function newStack() {
  return new Stack(new App({ analyticsReporting: false }), 'Stack');
}

function newFunction(stack: Stack, id: string) {
  return new lambda.Function(stack, id, {
    code: lambda.Code.fromInline('def handler(event, context): pass'), handler: 'index.handler', runtime: lambda.Runtime.PYTHON_3_13,
    architecture: lambda.Architecture.ARM_64, logGroup: new logs.LogGroup(stack, `${id}Log`),
  });
}

function synthesize(props: (stack: Stack) => Partial<HearthProps> = () => ({})) {
  const stack = newStack();
  const layer = new HearthLayer(stack, 'Layer', { architecture: lambda.Architecture.ARM_64, zip });
  const fn = newFunction(stack, 'Function');
  new Hearth(stack, 'Hearth', { function: fn, layer, settings: { HEARTH_WEAVIATE_URL: 'https://weaviate.example.com' }, ...props(stack) });
  return Template.fromStack(stack);
}

test('the function has the layer, the settings and no rights without secrets', () => {
  const template = synthesize();
  template.hasResourceProperties('AWS::Lambda::LayerVersion', { CompatibleArchitectures: ['arm64'] });
  template.hasResourceProperties('AWS::Lambda::Function', {
    Layers: [{ Ref: Match.stringLikeRegexp('^Layer') }],
    Environment: { Variables: { HEARTH_WEAVIATE_URL: 'https://weaviate.example.com' } },
  });
  template.resourceCountIs('AWS::IAM::Policy', 0);
  assert.deepEqual(faultsOf(JSON.stringify(template.toJSON())), []);
});

test('the function may read each secret, and nothing else', () => {
  const template = synthesize((stack) => ({
    secrets: {
      HEARTH_WEAVIATE_API_KEY: { source: Secret.fromSecretCompleteArn(stack, 'Weaviate', secretArn), field: 'key' },
      HEARTH_ODOO_KEY: {
        source: StringParameter.fromSecureStringParameterAttributes(stack, 'Odoo', { parameterName: '/odoo/key' }),
        encryptionKey: Key.fromKeyArn(stack, 'Key', 'arn:aws:kms:eu-central-1:123456789012:key/1'),
      },
    },
  }));
  const parameterArn = { 'Fn::Join': ['', ['arn:', { Ref: 'AWS::Partition' }, ':ssm:', { Ref: 'AWS::Region' }, ':', { Ref: 'AWS::AccountId' }, ':parameter/odoo/key']] };
  template.hasResourceProperties('AWS::Lambda::Function', {
    Environment: { Variables: { HEARTH_WEAVIATE_API_KEY: `${secretArn}#key`, HEARTH_ODOO_KEY: parameterArn } },
  });
  template.hasResourceProperties('AWS::IAM::Policy', {
    PolicyDocument: {
      Statement: [
        { Effect: 'Allow', Action: 'secretsmanager:GetSecretValue', Resource: secretArn },
        { Effect: 'Allow', Action: 'ssm:GetParameter', Resource: parameterArn },
        { Effect: 'Allow', Action: 'kms:Decrypt', Resource: 'arn:aws:kms:eu-central-1:123456789012:key/1' },
      ],
    },
  });
  assert.deepEqual(faultsOf(JSON.stringify(template.toJSON())), []);
});

test('the dashboard, the alarms and the queries are those of observability.yaml, for this function', () => {
  const template = synthesize((stack) => ({ alarmTopic: new Topic(stack, 'Alarms'), thresholds: { MinHitRate: 60, MaxP95Milliseconds: 900 } }));
  const types = Object.values(parse(read('deploy/observability.yaml')).Resources).map(({ Type }) => Type);
  for (const type of new Set(types)) {
    template.resourceCountIs(type, types.filter((one) => one === type).length);
  }
  const fn = { Ref: Match.stringLikeRegexp('^Function') };
  template.hasResourceProperties('AWS::CloudWatch::Dashboard', {
    DashboardBody: { 'Fn::Sub': [Match.anyValue(), { Function: fn, LogGroup: { Ref: Match.stringLikeRegexp('^FunctionLog') } }] },
  });
  template.allResourcesProperties('AWS::CloudWatch::Alarm', {
    AlarmActions: [{ Ref: Match.stringLikeRegexp('^Alarms') }], OKActions: [{ Ref: Match.stringLikeRegexp('^Alarms') }],
  });
  template.hasResourceProperties('AWS::CloudWatch::Alarm', { MetricName: 'breaker_open', Dimensions: [{ Name: 'FunctionName', Value: fn }] });
  template.hasResourceProperties('AWS::CloudWatch::Alarm', { Threshold: 60, Metrics: Match.anyValue() });
  template.hasResourceProperties('AWS::CloudWatch::Alarm', { Threshold: 900, ExtendedStatistic: 'p95' });
  assert.deepEqual(faultsOf(JSON.stringify(template.toJSON())), []);
});

test('a stack may hold two functions, and keeps its own description', () => {
  const stack = newStack();
  stack.templateOptions.description = 'two chatbots';
  const layer = new HearthLayer(stack, 'Layer', { architecture: lambda.Architecture.ARM_64, zip });
  for (const id of ['One', 'Two']) {
    new Hearth(stack, `Hearth${id}`, { function: newFunction(stack, id), layer, settings: {} });
  }
  const template = Template.fromStack(stack);
  template.resourceCountIs('AWS::CloudWatch::Dashboard', 2);
  template.templateMatches({ Description: 'two chatbots' });
  assert.deepEqual(faultsOf(JSON.stringify(template.toJSON())), []);
});

test('wrong properties are refused by their name', () => {
  const secrets = { HEARTH_WEAVIATE_URL: { source: Secret.fromSecretCompleteArn(newStack(), 'Weaviate', secretArn) } };
  assert.throws(() => synthesize(() => ({ secrets })), /HEARTH_WEAVIATE_URL is in settings and in secrets/);
  const missing = path.join(folder, 'missing.zip');
  assert.throws(() => new HearthLayer(newStack(), 'Layer', { architecture: lambda.Architecture.ARM_64, zip: missing }), /no .*missing.zip: run .\/layer.zip.sh first/);
});

test('the example app synthesizes with the layer of layer.zip.sh', () => {
  const run = (context: Record<string, string>) => spawnSync(process.execPath, ['--import', 'tsx', 'bin/example.ts'], {
    cwd: path.join(root, 'deploy', 'cdk'), encoding: 'utf8', env: { ...process.env, CDK_OUTDIR: path.join(folder, 'out'), CDK_CONTEXT_JSON: JSON.stringify(context) },
  });
  assert.match(run({}).stderr, /the address of Weaviate is missing: add -c weaviateUrl=/);

  const { status, stderr } = run({ weaviateUrl: 'https://weaviate.example.com', weaviateApiKeyArn: secretArn });
  assert.equal(status, 0, stderr);
  const out = (name: string) => fs.readFileSync(path.join(folder, 'out', name));
  const template = Template.fromString(out('HearthExample.template.json').toString());
  template.hasResourceProperties('AWS::Lambda::Function', { Environment: { Variables: { HEARTH_WEAVIATE_API_KEY: secretArn } } });
  template.hasResourceProperties('AWS::Lambda::Alias', { Name: 'live' });
  template.hasOutput('DashboardUrl', {});
  assert.deepEqual(faultsOf(JSON.stringify(template.toJSON())), []);

  const { Properties } = Object.values(template.findResources('AWS::Lambda::LayerVersion'))[0];
  const layer = fs.readFileSync(path.join(root, 'dist', 'hearth-layer-arm64.zip'));
  assert.ok(out(`asset.${Properties.Content.S3Key}`).equals(layer), 'the asset is another file than dist/hearth-layer-arm64.zip');
});
