"""What a rule may bear on: controls of SOC 2, GDPR and PCI DSS by subject, and what each of them asks for.

The texts are ours, short enough to be read in a table; the frameworks' own words count. Controls that no rule can see
(people, contracts, buildings) are here too, so that an answer says `not assessable` and does not keep silent.
"""

from __future__ import annotations

from collections.abc import Mapping

Controls = Mapping[str, tuple[str, ...]]

ACCESS: Controls = {"SOC2": ("CC6.1", "CC6.8"), "GDPR": ("Art. 32(1)(b)",), "PCI-DSS": ("2.2.1", "7.2.1")}
IDENTITY: Controls = {"SOC2": ("CC6.1", "CC6.3"), "GDPR": ("Art. 32(1)(b)",), "PCI-DSS": ("7.2.1", "7.2.5", "8.2.1")}
NETWORK: Controls = {"SOC2": ("CC6.6",), "GDPR": ("Art. 32(1)(b)",), "PCI-DSS": ("1.3.1", "1.4.4")}
SEGMENTS: Controls = {"SOC2": ("CC6.6",), "PCI-DSS": ("1.2.1", "1.3.1")}
SECRETS: Controls = {"SOC2": ("CC6.1",), "GDPR": ("Art. 32(1)(a)",), "PCI-DSS": ("8.3.2", "8.6.2")}
TRANSPORT: Controls = {"SOC2": ("CC6.7",), "GDPR": ("Art. 32(1)(a)",), "PCI-DSS": ("4.2.1",)}
AT_REST: Controls = {"SOC2": ("CC6.1",), "GDPR": ("Art. 32(1)(a)",), "PCI-DSS": ("3.5.1",)}
SUPPLY: Controls = {"SOC2": ("CC8.1",), "PCI-DSS": ("6.3.2",)}
PATCHES: Controls = {"SOC2": ("CC7.1",), "GDPR": ("Art. 32(1)(b)",), "PCI-DSS": ("6.3.3",)}
CHANGE: Controls = {"SOC2": ("CC8.1",), "PCI-DSS": ("6.5.1",)}
AVAILABLE: Controls = {"SOC2": ("A1.1",), "GDPR": ("Art. 32(1)(b)",)}
CAPACITY: Controls = {"SOC2": ("A1.1",), "GDPR": ("Art. 32(1)(b)",)}
RESTORE: Controls = {"SOC2": ("A1.2",), "GDPR": ("Art. 32(1)(c)",), "PCI-DSS": ("9.4.1",)}
LOGS: Controls = {"SOC2": ("CC7.2",), "GDPR": ("Art. 5(2)",), "PCI-DSS": ("10.2.1", "10.5.1")}
ASSETS: Controls = {"SOC2": ("CC6.1",), "GDPR": ("Art. 30(1)",), "PCI-DSS": ("12.5.1",)}
ACCEPTED: Controls = {"SOC2": ("CC3.2", "CC8.1"), "PCI-DSS": ("12.3.1",)}
TRANSFER: Controls = {"SOC2": ("CC6.7",), "GDPR": ("Art. 44",)}

FRAMEWORKS: Mapping[str, Mapping[str, str]] = {
    "SOC2": {
        "CC1.1": "integrity and ethical values are lived",
        "CC1.4": "people are competent for what they do",
        "CC2.2": "duties are told to those who have them",
        "CC3.2": "risks are found, judged and accepted by someone",
        "CC5.3": "policies are written and put to work",
        "CC6.1": "access to systems and data is limited, secrets are protected",
        "CC6.2": "people are registered before they get access",
        "CC6.3": "access follows roles and the least privilege",
        "CC6.4": "buildings and rooms are closed to others",
        "CC6.6": "the outside is kept out at the border",
        "CC6.7": "data are protected where they travel",
        "CC6.8": "unwanted software is prevented",
        "CC7.1": "weaknesses are found and mended",
        "CC7.2": "systems are watched for what is unusual",
        "CC7.4": "incidents are answered",
        "CC8.1": "changes are authorised, tested and recorded",
        "CC9.2": "suppliers are judged",
        "A1.1": "capacity is planned and watched",
        "A1.2": "data are backed up",
        "A1.3": "recovery is tested",
    },
    "GDPR": {
        "Art. 5(2)": "the controller can show that it complies",
        "Art. 6": "there is a legal ground",
        "Art. 13": "people are told",
        "Art. 17": "data can be erased",
        "Art. 25": "protection by design and by default",
        "Art. 28": "processors are bound by contract",
        "Art. 30(1)": "processing is on record",
        "Art. 32(1)(a)": "data are encrypted or pseudonymised",
        "Art. 32(1)(b)": "confidentiality, integrity and availability hold",
        "Art. 32(1)(c)": "access comes back in time after an incident",
        "Art. 33": "breaches are told to the authority",
        "Art. 44": "data leave the Union only on conditions",
    },
    "PCI-DSS": {
        "1.2.1": "network security controls are configured to a standard",
        "1.3.1": "inbound traffic is limited to what is needed",
        "1.4.4": "stored cardholder data are not reachable from untrusted networks",
        "2.2.1": "components are hardened to a standard",
        "2.2.2": "vendor default accounts are managed",
        "2.2.7": "administration is encrypted",
        "3.5.1": "account numbers are unreadable where they are stored",
        "4.2.1": "account numbers are encrypted on open networks",
        "5.2.1": "malware is kept out",
        "6.3.2": "software components are on record",
        "6.3.3": "known weaknesses are patched",
        "6.5.1": "changes to production follow a procedure",
        "7.2.1": "access follows need",
        "7.2.5": "accounts of applications have the least privilege",
        "8.2.1": "everyone has an account of their own",
        "8.3.1": "access needs a factor of authentication",
        "8.3.2": "factors are encrypted in transit and at rest",
        "8.3.6": "passwords are long and complex",
        "8.6.2": "passwords of accounts are not in scripts and files",
        "9.4.1": "media with cardholder data are protected",
        "9.5.1": "payment terminals are protected",
        "10.2.1": "audit logs are on",
        "10.5.1": "audit logs are kept for a year",
        "11.3.1": "weaknesses are scanned for every three months",
        "12.3.1": "risks that are accepted are analysed",
        "12.5.1": "components in scope are on record",
        "12.6.1": "people are made aware",
    },
}
