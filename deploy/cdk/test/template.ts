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
  return [...validate(text), ...conditionsOf(template), ...Object.entries(template.Resources).flatMap(([id, resource]) => propertiesOf(id, resource))];
}

// AWS's own validator, which aws-cdk-lib brings. It knows CloudFormation's schemas and functions, and of SAM's resources only the references.
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

// Properties that SAM hands on as they are, and that the specification does not list for SAM.
const handedOn: Record<string, [type: string, properties: string[]]> = {
  'AWS::Serverless::Function': ['AWS::Lambda::Function', ['LoggingConfig']],
  'AWS::Serverless::LayerVersion': ['AWS::Lambda::LayerVersion', ['CompatibleArchitectures']],
};

/** The properties that the resource's type does not have. */
function propertiesOf(id: string, { Type, Properties = {} }: Template['Resources'][string]): string[] {
  const type = typeNamed(Type);
  if (!type) {
    return Type === 'AWS::CDK::Metadata' ? [] : [`${id}: there is no type ${Type}`];
  }
  const properties = { ...type.properties };
  const [target, names] = handedOn[Type] ?? ['', []];
  for (const name of names) {
    properties[name] ??= typeNamed(target).properties[name];
  }
  return unknownIn(Properties, properties, id);
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
