import * as fs from 'node:fs';
import * as path from 'node:path';
import { CfnInclude } from 'aws-cdk-lib/cloudformation-include';
import { CfnAlarm } from 'aws-cdk-lib/aws-cloudwatch';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import type { ITopic } from 'aws-cdk-lib/aws-sns';
import type { IStringParameter } from 'aws-cdk-lib/aws-ssm';
import { Construct } from 'constructs';

const root = path.join(__dirname, '..', '..', '..');

export interface HearthLayerProps {
  readonly architecture: lambda.Architecture;
  /** The layer's zip. @default dist/hearth-layer-<architecture>.zip, which ./layer.zip.sh makes */
  readonly zip?: string;
}

/** The Lambda layer: Hearth's extension and Python client. */
export class HearthLayer extends lambda.LayerVersion {
  constructor(scope: Construct, id: string, props: HearthLayerProps) {
    const zip = props.zip ?? path.join(root, 'dist', `hearth-layer-${props.architecture.name}.zip`);
    if (!fs.existsSync(zip)) {
      throw new Error(`there is no ${zip}: run ./layer.zip.sh first`);
    }
    super(scope, id, {
      description: "Hearth's extension and Python client",
      code: lambda.Code.fromAsset(zip),
      compatibleArchitectures: [props.architecture],
    });
  }
}

type Variable = `HEARTH_${string}`;

export interface HearthSecret {
  /** A secret of Secrets Manager or a parameter of Systems Manager. */
  readonly source: ISecret | IStringParameter;
  /** The field to take, if the secret is a JSON object. */
  readonly field?: string;
  /** The key that encrypts a SecureString, if it is one of your own. A secret of Secrets Manager knows its key. */
  readonly encryptionKey?: IKey;
}

export interface HearthProps {
  /** The function. Give it a logGroup: without one the CDK adds a custom resource to find it. */
  readonly function: lambda.Function;
  /** One layer may serve several functions of one architecture. @default a new HearthLayer */
  readonly layer?: lambda.ILayerVersion;
  /** Hearth's variables: see docs/configuration.md. */
  readonly settings: Readonly<Record<Variable, string>>;
  /** The variables whose values are secrets. The function may read each of these secrets and no other. */
  readonly secrets?: Readonly<Record<Variable, HearthSecret>>;
  /** Where alarms go. @default nowhere: they only show their state */
  readonly alarmTopic?: ITopic;
  /** Parameters of observability.yaml. @default their defaults */
  readonly thresholds?: Partial<Record<'MaxErrors' | 'MaxP95Milliseconds' | 'MinHitRate' | 'MinReads', number>>;
}

/** Attaches Hearth to a function, and adds the dashboard, alarms and saved queries of observability.yaml. */
export class Hearth extends Construct {
  readonly observability: CfnInclude;

  constructor(scope: Construct, id: string, props: HearthProps) {
    super(scope, id);
    const fn = props.function;
    fn.addLayers(props.layer ?? new HearthLayer(this, 'Layer', { architecture: fn.architecture }));
    for (const [name, value] of Object.entries(props.settings)) {
      fn.addEnvironment(name, value);
    }
    for (const [name, secret] of Object.entries(props.secrets ?? {})) {
      if (name in props.settings) {
        throw new Error(`${name} is in settings and in secrets`);
      }
      addSecret(fn, name, secret);
    }
    this.observability = new CfnInclude(this, 'Observability', {
      templateFile: path.join(root, 'deploy', 'observability.yaml'),
      preserveLogicalIds: false, // a stack may hold several functions
      parameters: {
        FunctionName: fn.functionName,
        LogGroupName: fn.logGroup.logGroupName,
        AlarmTopicArn: '',
        ...props.thresholds,
      },
    });
    this.notify(props.alarmTopic);
  }

  /** The template's condition may not refer to a topic of the same stack, so the actions are set here and the condition goes. */
  private notify(topic?: ITopic) {
    for (const alarm of this.observability.node.findAll()) {
      if (alarm instanceof CfnAlarm) {
        alarm.alarmActions = alarm.okActions = topic && [topic.topicArn];
      }
    }
    const { node } = this.observability.getCondition('HasTopic');
    node.scope?.node.tryRemoveChild(node.id);
  }
}

function addSecret(fn: lambda.Function, name: string, { source, field, encryptionKey }: HearthSecret) {
  const isSecret = 'secretArn' in source;
  const arn = isSecret ? source.secretArn : source.parameterArn;
  fn.addEnvironment(name, field === undefined ? arn : `${arn}#${field}`);
  fn.addToRolePolicy(new PolicyStatement({
    actions: [isSecret ? 'secretsmanager:GetSecretValue' : 'ssm:GetParameter'],
    resources: [isSecret ? source.secretFullArn ?? `${arn}-??????` : arn],
  }));
  (encryptionKey ?? (isSecret ? source.encryptionKey : undefined))?.grantDecrypt(fn);
}
