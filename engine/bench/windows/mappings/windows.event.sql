/*---
id: windows.event
title: "Windows events as the OTRF recordings have them"
source: windows.event
to: process
class: 1007
codec: json
detect: {has: [EventID, Channel, Hostname]}
columns:
  "@timestamp": timestamp
  TimeCreated: timestamp
  EventID: int
  Channel: string
  Hostname: string
  SourceName: string
  EventType: string
  Message: string
  User: string
  AccountName: string
  SubjectUserName: string
  TargetUserName: string
  LogonType: string
  ProcessId: string
  ProcessGuid: string
  Image: string
  OriginalFileName: string
  CommandLine: string
  ParentImage: string
  ParentCommandLine: string
  NewProcessName: string
  ImageLoaded: string
  Signed: string
  Hashes: string
  SourceImage: string
  TargetImage: string
  GrantedAccess: string
  CallTrace: string
  TargetFilename: string
  TargetObject: string
  Details: string
  PipeName: string
  QueryName: string
  DestinationIp: string
  DestinationPort: int
  Initiated: string
  ServiceName: string
  ImagePath: string
  ServiceFileName: string
  ShareName: string
  RelativeTargetName: string
  ObjectName: string
  ObjectType: string
  AccessMask: string
  Properties: string
  ProcessName: string
  ScriptBlockText: string
  Payload: string
  ContextInfo: string
time: "@timestamp"
vendor: Microsoft
product: Windows
---*/
SELECT coalesce("@timestamp", TimeCreated) AS time,
       'Other' AS activity,
       "EventID" AS event_code,
       "Hostname" AS device_hostname,
       "Image" AS process_path,
       "CommandLine" AS process_cmd_line,
       "ParentImage" AS parent_path,
       "ParentCommandLine" AS parent_cmd_line,
       "ImageLoaded" AS module_path,
       "ScriptBlockText" AS script_text
FROM windows_event
