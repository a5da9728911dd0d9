// Reads CloudFormation templates, and finds what CloudFormation or SAM would refuse.
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { loadAwsServiceSpecSync } from '@aws-cdk/aws-service-spec';
import { App, CloudFormationValidatePlugin } from 'aws-cdk-lib';
import { Pair, YAMLMap, parseDocument, visit } from 'yaml';

export const root = path.join(__dirname, '..', '..', '..');
export const read = (...file: string[]) => fs.readFileSync(path.join(root, ...file), 'utf8');

export type Value = any; // what a template holds may have any type
export interface Template {
  Transform?: string;
  Parameters?: Record<string, Value>;
  Conditions?: Record<string, Value>;
  Resources: Record<string, { Type: string; Properties?: Value }>;
  Outputs?: Record<string, Value>;
}

/** Parses a template in YAML or JSON. Short forms such as !Ref become their long forms. */
export function parse(text: string): Template {
  const long = (name: string) => (name === 'Ref' || name === 'Condition' ? name : `Fn::${name}`);
  const tags = ['Ref', 'Condition', 'Sub', 'GetAtt', 'Join', 'If', 'Not', 'Equals', 'Select', 'Split'].flatMap((name) => [
    { tag: `!${name}`, resolve: (text: string) => ({ [long(name)]: name === 'GetAtt' ? text.split(/\.(.*)/, 2) : text }) },
    { tag: `!${name}`, collection: 'seq' as const, resolve: (list: unknown) => {
      const map = new YAMLMap();
      map.add(new Pair(long(name), list));
      return map;
    } },
  ]);
  const document = parseDocument(text, { customTags: tags });
  const faults: unknown[] = [...document.errors, ...document.warnings];
  visit(document, { Alias: () => { faults.push('CloudFormation knows no aliases of YAML'); } });
  if (faults.length > 0) {
    throw new Error(faults.join('\n'));
  }
  return document.toJS();
}

/** What is wrong with a template. */
export function faultsOf(text: string): string[] {
  const template = parse(text);
  const plain = withoutSAM(template);
  return [
    ...validate(text), ...(template.Transform ? validate(JSON.stringify(plain)) : []), ...conditionsOf(template),
    ...Object.entries(plain.Resources).flatMap(([id, resource]) => propertiesOf(id, resource)),
  ];
}

/** The template with Lambda's resources instead of SAM's: SAM hands on all properties that are not its own, and only Lambda's schema knows their values. */
function withoutSAM({ Transform, ...template }: Template): Template {
  const Resources: Template['Resources'] = {};
  for (const [id, resource] of Object.entries(template.Resources)) {
    switch (resource.Type) {
      case 'AWS::Serverless::LayerVersion': {
        const { ContentUri, RetentionPolicy, ...properties } = resource.Properties;
        Resources[id] = { ...resource, Type: 'AWS::Lambda::LayerVersion', Properties: { ...properties, Content: { S3Bucket: 'bucket', S3Key: 'key' } } };
        break;
      }
      case 'AWS::Serverless::Function': {
        const { CodeUri, Policies, AutoPublishAlias, AutoPublishAliasAllProperties, ...properties } = resource.Properties;
        const role = `${id}Role`;
        Resources[role] = { Type: 'AWS::IAM::Role', Properties: { AssumeRolePolicyDocument: trust, Policies: Policies.map(inRole) } };
        Resources[id] = { ...resource, Type: 'AWS::Lambda::Function', Properties: { ...properties, Code: { ZipFile: ' ' }, Role: { 'Fn::GetAtt': [role, 'Arn'] } } };
        break;
      }
      default:
        Resources[id] = resource;
    }
  }
  return { ...template, Resources };
}

const trust = { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: 'sts:AssumeRole', Principal: { Service: 'lambda.amazonaws.com' } }] };

function inRole(policy: Value, index: number): Value {
  const [condition, document, otherwise] = policy['Fn::If'] ?? [];
  return condition ? { 'Fn::If': [condition, inRole(document, index), otherwise] } : { PolicyName: `policy${index}`, PolicyDocument: policy };
}

// AWS's own validator, which aws-cdk-lib brings. It knows CloudFormation's schemas and functions, and of SAM's resources the references and what SAM's transform needs.
const validator = new CloudFormationValidatePlugin();

function validate(text: string): string[] {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hearth-deploy-'));
  try {
    const templatePath = path.join(folder, 'template');
    fs.writeFileSync(templatePath, text);
    const { violations } = validator.validate({
      appConstruct: new App(),
      templatePaths: [templatePath],
      stackTemplates: [{ stackConstructPath: 'Stack', templatePath, accountId: undefined, region: undefined }],
    });
    return violations.map((v) => `${v.ruleName} ${v.severity}: ${v.description}`).filter((fault) => !expected.some((known) => known.test(fault)));
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

const expected = [
  /^W1030 warning: .*Actions\.0: \{'Ref': 'AlarmTopicArn'\} default '' /, // a condition guards it
  /^W8003 warning: .*Learns(P95|HitRate)\w+' will always return False/, // a threshold is given, so there is nothing to learn
  /^W3002 warning: TemplateURL: /, // "sam deploy" uploads the file
  /^W2001 warning: Parameter 'BootstrapVersion' is not referenced/, // the CDK's own
  / informational: /,
];

/** Conditions may refer to parameters only. */
function conditionsOf({ Conditions = {}, Parameters = {} }: Template): string[] {
  const refs: string[] = [];
  JSON.stringify(Conditions, (key, value) => (key === 'Ref' && refs.push(value), value));
  return refs.filter((name) => !(name in Parameters) && !name.startsWith('AWS::')).map((name) => `a condition refers to ${name}, which is no parameter`);
}

const spec = loadAwsServiceSpecSync();
const typeNamed = (name: string) => spec.lookup('resource', 'cloudFormationType', 'equals', name)[0] as Value;

/** The properties that the resource's type does not have. */
function propertiesOf(id: string, { Type, Properties = {} }: Template['Resources'][string]): string[] {
  const type = typeNamed(Type);
  if (!type) {
    return Type === 'AWS::CDK::Metadata' ? [] : [`${id}: there is no type ${Type}`];
  }
  return unknownIn(Properties, type.properties, id);
}

function unknownIn(value: Value, properties: Record<string, Value>, where: string): string[] {
  return Object.entries(value).flatMap(([name, inner]) =>
    Object.hasOwn(properties, name) ? mismatch(inner, properties[name].type, `${where}.${name}`) : [`${where}: there is no property ${name}`]);
}

function mismatch(value: Value, type: Value, where: string): string[] {
  const keys = typeof value === 'object' && !Array.isArray(value) ? Object.keys(value) : [];
  if (keys.length === 1 && keys[0] === 'Fn::If') {
    return [1, 2].flatMap((branch) => mismatch(value['Fn::If'][branch], type, where));
  }
  if (keys.length === 1 && (keys[0] === 'Ref' || keys[0].startsWith('Fn::'))) {
    return [];
  }
  switch (type.type) {
    case 'array':
      return Array.isArray(value) ? value.flatMap((element, i) => mismatch(element, type.element, `${where}[${i}]`)) : [`${where}: is no list`];
    case 'map':
      return keys.flatMap((key) => mismatch(value[key], type.element, `${where}.${key}`));
    case 'ref':
      return typeof value === 'object' ? unknownIn(value, (spec.get('typeDefinition', type.reference.$ref) as Value).properties, where) : [`${where}: is no object`];
    case 'union': {
      const results: string[][] = type.types.map((one: Value) => mismatch(value, one, where));
      return results.find((faults) => faults.length === 0) ?? results.flat();
    }
    case 'string': case 'number': case 'integer': case 'boolean':
      return typeof value === 'object' ? [`${where}: is no ${type.type}`] : [];
    default: // json, tag, date-time
      return [];
  }
}
