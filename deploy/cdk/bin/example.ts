// The app of "npx aws-cdk deploy": the example handler in Python with Hearth. Its settings come from the context, -c name=value.
import * as path from 'node:path';
import { App, CfnOutput, Duration, Stack } from 'aws-cdk-lib';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as logs from 'aws-cdk-lib/aws-logs';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import { Hearth, type HearthProps } from '../lib/hearth';

const app = new App();
const stack = new Stack(app, 'HearthExample');

const weaviateUrl: string | undefined = app.node.tryGetContext('weaviateUrl');
if (!weaviateUrl) {
  throw new Error('the address of Weaviate is missing: add -c weaviateUrl=https://host');
}
const keyArn: string | undefined = app.node.tryGetContext('weaviateApiKeyArn');

const fn = new lambda.Function(stack, 'Function', {
  code: lambda.Code.fromAsset(path.join(__dirname, '..', '..', '..', 'examples', 'python'), { exclude: ['__pycache__'] }),
  handler: 'handler.handler',
  runtime: lambda.Runtime.PYTHON_3_13,
  architecture: lambda.Architecture.ARM_64,
  memorySize: 512,
  timeout: Duration.seconds(30),
  loggingFormat: lambda.LoggingFormat.JSON,
  logGroup: new logs.LogGroup(stack, 'LogGroup', { retention: logs.RetentionDays.ONE_MONTH }),
});
const secrets: HearthProps['secrets'] = keyArn
  ? { HEARTH_WEAVIATE_API_KEY: { source: Secret.fromSecretCompleteArn(stack, 'WeaviateKey', keyArn) } }
  : undefined;
const hearth = new Hearth(stack, 'Hearth', { function: fn, settings: { HEARTH_WEAVIATE_URL: weaviateUrl }, secrets });

const alias = fn.addAlias('live');
new CfnOutput(stack, 'FunctionAlias', { value: alias.functionArn });
new CfnOutput(stack, 'DashboardUrl', { value: hearth.observability.getOutput('DashboardUrl').value });
