"""Invents customers: names, places, e-mail addresses, and how each of these changes.

A name fits its country, an address its name. Reads and writes no file.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace
from datetime import datetime

from chance import Dice

# Code; share; cities; women's and men's names; family names. `native=latin` where an e-mail address
# needs another spelling, `his/hers` where a family name has two forms.
LOCALES_TEXT = """
AT;2;Wien|Graz|Linz|Salzburg;Anna|Magdalena|Sophie|Theresa;Lukas|Jakob|Matthäus|Florian;Gruber|Huber|Pichler|Jäger|Österreicher
BG;1;София|Пловдив|Варна;Мария=mariya|Елена=elena|Десислава=desislava;Георги=georgi|Иван=ivan|Димитър=dimitar;Иванов=ivanov/Иванова=ivanova|Георгиев=georgiev/Георгиева=georgieva|Петров=petrov/Петрова=petrova
BR;5;São Paulo|Rio de Janeiro|Belo Horizonte|Florianópolis|Brasília;Beatriz|Júlia|Letícia|Conceição|Luíza;João|Antônio|Thiago|Caetano|Vinícius;Silva|Souza|Gonçalves|Araújo|Magalhães|Assunção
CA;3;Toronto|Montréal|Vancouver|Québec|Halifax;Amélie|Chloé|Madison|Olivia;Étienne|Liam|Noah|Benoît;Tremblay|Côté|Gagnon|Bouchard|MacDonald|Singh
CH;2;Zürich|Genève|Basel|Bern|Lugano;Lea|Noémie|Chiara|Nadja;Urs|Reto|Loïc|Jürg;Müller|Bühler|Favre|Rochat|Bernasconi
CN;3;上海|北京|深圳|杭州;芳=fang|丽娜=lina|雪=xue|静怡=jingyi;伟=wei|浩然=haoran|建国=jianguo|宇轩=yuxuan;王=wang|李=li|张=zhang|陈=chen|刘=liu
CZ;2;Praha|Brno|Ostrava|Plzeň;Tereza|Eliška|Kateřina|Lucie;Jiří|Tomáš|Ondřej|Vojtěch;Novák/Nováková|Dvořák/Dvořáková|Svoboda/Svobodová|Černý/Černá
DE;9;Berlin|Hamburg|München|Köln|Leipzig|Nürnberg|Saarbrücken;Johanna|Käthe|Leonie|Mia|Frieda|Ulrike;Jürgen|Jonas|Björn|Felix|Sören|Moritz;Müller|Schröder|Weiß|Fischer|Köhler|Krüger|Becker|Großmann
DK;2;København|Aarhus|Odense|Helsingør;Freja|Astrid|Maren|Signe;Søren|Rasmus|Jørgen|Mads;Jensen|Sørensen|Østergaard|Kjær
EG;1;Cairo|Alexandria|Giza;Fatima|Nour|Yasmin;Omar|Youssef|Karim;Hassan|El-Sayed|Mansour|Farouk
ES;5;Madrid|Barcelona|Sevilla|Málaga|A Coruña|Logroño;Lucía|Begoña|Inés|Carmen|Nuria;Íñigo|José|Álvaro|Joaquín|Pablo;García López|Núñez Ortega|Peña|Ibáñez|Muñoz Vidal|Echevarría
FI;1;Helsinki|Tampere|Jyväskylä|Hämeenlinna;Aino|Päivi|Helmi;Väinö|Eero|Jyrki;Korhonen|Mäkinen|Hämäläinen|Lehtonen
FR;7;Paris|Lyon|Marseille|Saint-Étienne|Nîmes|Besançon|Orléans;Camille|Zoé|Hélène|Léa|Anaïs|Françoise;Théo|François|Rémi|Gaël|Clément|Mathis;Lefèvre|Dubois|Bérenger|D'Hautefeuille|Moreau|Le Goff|Châtelain
GB;8;London|Manchester|Edinburgh|Bristol|Cardiff|Leeds|Stoke-on-Trent;Charlotte|Zoë|Imogen|Amelia|Priya|Siân;Oliver|Harry|Callum|Alistair|Rhys|Tariq;Smith|Okafor|Taylor-Jones|O'Connor|Patel|Whitfield|MacLeod|Khan
GR;2;Αθήνα|Θεσσαλονίκη|Πάτρα;Μαρία=maria|Ελένη=eleni|Κατερίνα=katerina;Γιώργος=giorgos|Νίκος=nikos|Δημήτρης=dimitris;Παπαδόπουλος=papadopoulos/Παπαδοπούλου=papadopoulou|Νικολάου=nikolaou|Γεωργίου=georgiou
HU;1;Budapest|Győr|Szeged|Pécs;Zsófia|Réka|Eszter;László|Gergő|Ákos;Nagy|Szabó|Tóth|Kovács|Szűcs
IE;2;Dublin|Cork|Galway|Dún Laoghaire;Aoife|Niamh|Róisín|Ciara;Seán|Cillian|Oisín|Pádraig;O'Brien|Murphy|Ní Bhriain|Byrne|O'Sullivan
IN;5;Mumbai|Bengaluru|Delhi|Chennai|Pune;Ananya|Lakshmi|Meera|Kavya;Arjun|Rohan|Vikram|Aditya;Sharma|Iyer|Reddy|Chatterjee|Nair|Kulkarni
IT;5;Roma|Milano|Torino|Napoli|L'Aquila|Forlì;Giulia|Chiara|Martina|Noemi;Niccolò|Lorenzo|Matteo|Davide;Rossi|D'Angelo|Esposito|Colò|De Luca|Bianchi
JP;4;東京|大阪|横浜|札幌;美咲=misaki|さくら=sakura|陽子=yoko|結衣=yui;翔太=shota|健=ken|大輔=daisuke|蓮=ren;佐藤=sato|鈴木=suzuki|高橋=takahashi|渡辺=watanabe|中村=nakamura
KR;2;서울|부산|인천;서연=seoyeon|지우=jiwoo|하은=haeun;민준=minjun|도윤=doyun|지훈=jihoon;김=kim|이=lee|박=park|최=choi
MX;3;Ciudad de México|Guadalajara|Mérida|León;Ximena|Guadalupe|Sofía|Renata;Jesús|Emiliano|Santiago|Andrés;Hernández Ruiz|Martínez|Ramírez|Zúñiga Lara|Cárdenas
NG;2;Lagos|Abuja|Ibadan;Adaeze|Ngozi|Folasade;Chukwuemeka|Babatunde|Ifeanyi;Adeyemi|Okonkwo|Eze|Ọbádélé
NL;4;Amsterdam|Rotterdam|'s-Hertogenbosch|Utrecht|Eindhoven;Sanne|Daniëlle|Fleur|Noor;Daan|Joël|Thijs|Sem;de Vries|van den Berg|Jansen|Visser|van 't Hoff|Bakker
NO;2;Oslo|Bergen|Tromsø|Ålesund;Ingrid|Åse|Solveig;Håkon|Øyvind|Lars;Hansen|Bjørnstad|Ødegård|Nilsen
PL;4;Warszawa|Kraków|Łódź|Gdańsk|Wrocław;Agnieszka|Małgorzata|Zofia|Żaneta;Paweł|Łukasz|Michał|Stanisław;Kowalski/Kowalska|Wiśniewski/Wiśniewska|Wójcik|Dąbrowski/Dąbrowska|Zięba
PT;2;Lisboa|Porto|Braga|Évora;Inês|Catarina|Mafalda;Tomás|Gonçalo|Duarte;Ferreira|Conceição|Simões|Magalhães
RO;1;București|Cluj-Napoca|Iași|Timișoara;Ioana|Ștefania|Mădălina;Ștefan|Răzvan|Ionuț;Popescu|Țurcanu|Munteanu|Bălan
SE;3;Stockholm|Göteborg|Malmö|Örebro;Linnéa|Åsa|Elsa|Märta;Björn|Göran|Oskar|Åke;Lindström|Åkesson|Sjöberg|Bergman|Öberg
TR;3;İstanbul|Ankara|İzmir|Diyarbakır;Ayşe|Zeynep|Gülşen|Elif;Mehmet|Çağlar|Oğuz|Emre;Yılmaz|Öztürk|Çelik|Şahin|Aydın
UA;2;Київ|Львів|Одеса;Олена=olena|Оксана=oksana|Софія=sofiia;Тарас=taras|Андрій=andrii|Богдан=bohdan;Шевченко=shevchenko|Коваленко=kovalenko|Бондар=bondar
US;9;New York|Chicago|Austin|Portland|Washington, DC|San José|Albuquerque;Emily|Renée|Jasmine|Hannah|Maya|Grace;James|Michael|DeShawn|Ethan|Mateo|Tyler;Johnson|Williams|O'Neill|Nguyen|Rodriguez|Kim|Anderson|Washington
VN;2;Hà Nội|Đà Nẵng|Huế;Thị Hoa|Ngọc Lan|Thu Hằng;Văn Đức|Minh Tuấn|Quốc Bảo;Nguyễn|Trần|Lê|Phạm|Đặng
ZA;2;Cape Town|Johannesburg|Durban;Thandiwe|Lerato|Anneke;Sipho|Kagiso|Pieter;Nkosi|van der Merwe|Dlamini|Botha
"""

FAMILY_NAME_FIRST = {"CN": "", "KR": "", "JP": " ", "HU": " ", "VN": " "}
GERMAN_SPELLING = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
# The letters that Unicode does not take apart into a base and an accent.
LATIN_SPELLING = str.maketrans({"ß": "ss", "ø": "o", "æ": "ae", "ł": "l", "đ": "d", "ı": "i", "'": "", " ": ""})
# Reserved by RFC 2606: mail to these reaches nobody.
MAIL_DOMAINS = [
    (5, "example.com"),
    (3, "example.org"),
    (3, "example.net"),
    (2, "mail.example"),
    (1, "post.example"),
]
TIERS = ("bronze", "silver", "gold")


@dataclass(frozen=True)
class Locale:
    country: str
    share: int
    cities: list[str]
    women: list[str]
    men: list[str]
    families: list[str]


@dataclass(frozen=True)
class Customer:
    customer_id: int
    email: str | None
    name: str
    city: str
    country: str
    tier: str
    updated_at: datetime


def read_locales() -> list[Locale]:
    locales = []
    for line in LOCALES_TEXT.strip().splitlines():
        country, share, *lists = line.split(";")
        locales.append(Locale(country, int(share), *(words.split("|") for words in lists)))
    return locales


def latin(word: str, country: str) -> str:
    _, _, given = word.partition("=")
    word = (given or word).lower()
    if country in ("DE", "AT", "CH"):
        word = word.translate(GERMAN_SPELLING)
    decomposed = unicodedata.normalize("NFKD", word.translate(LATIN_SPELLING))
    return "".join(c for c in decomposed if not unicodedata.combining(c))


class MailAddresses:
    """Addresses made of names, each given out once."""

    def __init__(self, dice: Dice) -> None:
        self._dice = dice
        self._taken: set[str] = set()

    def make(self, given: str, family: str) -> str:
        local = self._dice.pick_weighted(
            [
                (6, f"{given}.{family}"),
                (2, f"{given[0]}.{family}"),
                (1, f"{given}_{family}"),
                (1, f"{family}.{given}{70 + self._dice.below(30)}"),
            ]
        )
        domain = self._dice.pick_weighted(MAIL_DOMAINS)
        address, number = f"{local}@{domain}", 1
        while address in self._taken:
            number += 1
            address = f"{local}{number}@{domain}"
        self._taken.add(address)
        return address


class People:
    """The names, places and addresses of the shop's customers."""

    def __init__(self, dice: Dice, today: datetime) -> None:
        self.dice = dice
        self.today = today
        self.locales = read_locales()
        self.addresses = MailAddresses(dice)
        self.mail_names: dict[int, tuple[str, str]] = {}

    def customer(self, customer_id: int, signed_up: datetime) -> Customer:
        dice = self.dice
        home = dice.pick_weighted([(locale.share, locale) for locale in self.locales])
        is_woman = dice.one_in(2)
        given = dice.pick(home.women if is_woman else home.men)
        family = dice.pick(home.families).split("/")[-1 if is_woman else 0]
        country = home.country
        self.mail_names[customer_id] = (
            latin(given, country),
            # The first of two Spanish family names; elsewhere a space is part of the name.
            latin(family.split(" ")[0] if country in ("ES", "MX") else family, country),
        )
        email = None if dice.one_in(15) else self.addresses.make(*self.mail_names[customer_id])
        parts = [word.partition("=")[0] for word in (given, family)]
        if country in FAMILY_NAME_FIRST:
            name = FAMILY_NAME_FIRST[country].join(reversed(parts))
        else:
            name = " ".join(parts)
        tier = dice.pick_weighted([(62, "bronze"), (28, "silver"), (10, "gold")])
        changed_since = signed_up < self.today and not dice.one_in(2)
        updated_at = dice.moment(signed_up, self.today) if changed_since else signed_up
        return Customer(customer_id, email, name, dice.pick(home.cities), country, tier, updated_at)

    def moved(self, customer: Customer, at: datetime) -> Customer:
        abroad = self.dice.one_in(8)
        places = [
            (locale.country, city)
            for locale in self.locales
            for city in locale.cities
            if (locale.country != customer.country) == abroad and city != customer.city
        ]
        country, city = self.dice.pick(places)
        return replace(customer, city=city, country=country, updated_at=at)

    def tiered(self, customer: Customer, at: datetime) -> Customer:
        up = {"bronze": "silver", "silver": "gold", "gold": "silver"}
        down = {"bronze": "silver", "silver": "bronze", "gold": "silver"}
        tier = (down if self.dice.one_in(5) else up)[customer.tier]
        return replace(customer, tier=tier, updated_at=at)

    def mailed(self, customer: Customer, at: datetime) -> Customer:
        # NULL to value and back are changes as well, and the ones most often got wrong.
        gives_up_mail = customer.email is not None and self.dice.one_in(6)
        given, family = self.mail_names[customer.customer_id]
        email = None if gives_up_mail else self.addresses.make(given, family)
        return replace(customer, email=email, updated_at=at)
