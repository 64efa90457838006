"""What is true in the small world: plain, checkable, everyday facts, as tables."""

# country, capital, continent, language, currency, and country, capital in Chinese
COUNTRIES = [
    tuple(cell.strip() for cell in line.split("|"))
    for line in """
France|Paris|Europe|French|euro|法国|巴黎
Germany|Berlin|Europe|German|euro|德国|柏林
Italy|Rome|Europe|Italian|euro|意大利|罗马
Spain|Madrid|Europe|Spanish|euro|西班牙|马德里
Portugal|Lisbon|Europe|Portuguese|euro|葡萄牙|里斯本
Greece|Athens|Europe|Greek|euro|希腊|雅典
Austria|Vienna|Europe|German|euro|奥地利|维也纳
Ireland|Dublin|Europe|English|euro|爱尔兰|都柏林
Finland|Helsinki|Europe|Finnish|euro|芬兰|赫尔辛基
Sweden|Stockholm|Europe|Swedish|krona|瑞典|斯德哥尔摩
Norway|Oslo|Europe|Norwegian|krone|挪威|奥斯陆
Denmark|Copenhagen|Europe|Danish|krone|丹麦|哥本哈根
Poland|Warsaw|Europe|Polish|zloty|波兰|华沙
Hungary|Budapest|Europe|Hungarian|forint|匈牙利|布达佩斯
Romania|Bucharest|Europe|Romanian|leu|罗马尼亚|布加勒斯特
Ukraine|Kyiv|Europe|Ukrainian|hryvnia|乌克兰|基辅
Iceland|Reykjavik|Europe|Icelandic|krona|冰岛|雷克雅未克
Britain|London|Europe|English|pound|英国|伦敦
Russia|Moscow|Europe|Russian|rouble|俄罗斯|莫斯科
Serbia|Belgrade|Europe|Serbian|dinar|塞尔维亚|贝尔格莱德
China|Beijing|Asia|Chinese|yuan|中国|北京
Japan|Tokyo|Asia|Japanese|yen|日本|东京
Thailand|Bangkok|Asia|Thai|baht|泰国|曼谷
Vietnam|Hanoi|Asia|Vietnamese|dong|越南|河内
Mongolia|Ulaanbaatar|Asia|Mongolian|tugrik|蒙古|乌兰巴托
Iran|Tehran|Asia|Persian|rial|伊朗|德黑兰
Iraq|Baghdad|Asia|Arabic|dinar|伊拉克|巴格达
Nepal|Kathmandu|Asia|Nepali|rupee|尼泊尔|加德满都
Bangladesh|Dhaka|Asia|Bengali|taka|孟加拉国|达卡
Cambodia|Phnom Penh|Asia|Khmer|riel|柬埔寨|金边
Jordan|Amman|Asia|Arabic|dinar|约旦|安曼
Turkey|Ankara|Asia|Turkish|lira|土耳其|安卡拉
Egypt|Cairo|Africa|Arabic|pound|埃及|开罗
Morocco|Rabat|Africa|Arabic|dirham|摩洛哥|拉巴特
Tunisia|Tunis|Africa|Arabic|dinar|突尼斯|突尼斯市
Algeria|Algiers|Africa|Arabic|dinar|阿尔及利亚|阿尔及尔
Kenya|Nairobi|Africa|Swahili|shilling|肯尼亚|内罗毕
Ethiopia|Addis Ababa|Africa|Amharic|birr|埃塞俄比亚|亚的斯亚贝巴
Somalia|Mogadishu|Africa|Somali|shilling|索马里|摩加迪沙
Angola|Luanda|Africa|Portuguese|kwanza|安哥拉|罗安达
Ghana|Accra|Africa|English|cedi|加纳|阿克拉
Canada|Ottawa|North America|English|dollar|加拿大|渥太华
Mexico|Mexico City|North America|Spanish|peso|墨西哥|墨西哥城
Cuba|Havana|North America|Spanish|peso|古巴|哈瓦那
Brazil|Brasilia|South America|Portuguese|real|巴西|巴西利亚
Argentina|Buenos Aires|South America|Spanish|peso|阿根廷|布宜诺斯艾利斯
Peru|Lima|South America|Spanish|sol|秘鲁|利马
Colombia|Bogota|South America|Spanish|peso|哥伦比亚|波哥大
Uruguay|Montevideo|South America|Spanish|peso|乌拉圭|蒙得维的亚
Australia|Canberra|Oceania|English|dollar|澳大利亚|堪培拉
""".strip().splitlines()
]
CONTINENTS_ZH = {
    "Europe": "欧洲",
    "Asia": "亚洲",
    "Africa": "非洲",
    "North America": "北美洲",
    "South America": "南美洲",
    "Oceania": "大洋洲",
}

# animal, young, kind, number of legs, where it lives, Chinese name ("-": not asked)
ANIMALS = [
    tuple(line.split("|"))
    for line in """
dog|puppy|mammal|four|kennel|狗
cat|kitten|mammal|four|house|猫
cow|calf|mammal|four|barn|牛
horse|foal|mammal|four|stable|马
sheep|lamb|mammal|four|meadow|羊
goat|kid|mammal|four|mountains|山羊
pig|piglet|mammal|four|sty|猪
rabbit|bunny|mammal|four|burrow|兔子
lion|cub|mammal|four|savanna|狮子
tiger|cub|mammal|four|jungle|老虎
bear|cub|mammal|four|cave|熊
fox|kit|mammal|four|den|狐狸
deer|fawn|mammal|four|forest|鹿
kangaroo|joey|mammal|two|bush|袋鼠
swan|cygnet|bird|two|lake|天鹅
duck|duckling|bird|two|pond|鸭子
goose|gosling|bird|two|farm|鹅
hen|chick|bird|two|coop|母鸡
pigeon|squab|bird|two|loft|鸽子
frog|tadpole|amphibian|four|pond|青蛙
bee|larva|insect|six|hive|蜜蜂
ant|larva|insect|six|nest|蚂蚁
butterfly|caterpillar|insect|six|garden|蝴蝶
spider|spiderling|arachnid|eight|web|蜘蛛
salmon|fry|fish|no|river|-
shark|pup|fish|no|sea|鲨鱼
snake|snakelet|reptile|no|grass|蛇
turtle|hatchling|reptile|four|sea|乌龟
""".strip().splitlines()
]
LEGS_ZH = {"no": "0", "two": "2", "four": "4", "six": "6", "eight": "8"}


def _pairs(text: str) -> list[tuple[str, ...]]:
    return [tuple(pair.split("=")) for line in text.strip().splitlines() for pair in line.split(", ")]


OPPOSITES = _pairs("""
hot=cold, big=small, tall=short, fast=slow, rich=poor, old=young, hard=soft, wet=dry, full=empty, open=closed
day=night, bright=dark, clean=dirty, strong=weak, early=late, happy=sad, heavy=light, thick=thin, wide=narrow, deep=shallow
loud=quiet, sweet=bitter, right=wrong, true=false, up=down, first=last, begin=end, push=pull, win=lose
buy=sell, give=take, love=hate, laugh=cry, remember=forget, arrive=leave, rise=fall, north=south, east=west, summer=winter
friend=enemy, cheap=expensive, easy=difficult, brave=cowardly, smooth=rough, sharp=blunt, near=far, above=below, inside=outside, always=never
""")
OPPOSITES_ZH = _pairs("""
大=小, 高=矮, 长=短, 快=慢, 热=冷, 新=旧, 多=少, 远=近, 黑=白, 上=下
左=右, 前=后, 里=外, 胖=瘦, 软=硬, 轻=重, 早=晚, 对=错, 开=关, 买=卖
哭=笑, 干=湿, 深=浅, 粗=细, 强=弱, 贫=富, 真=假, 东=西, 南=北, 冬天=夏天
""")
COLOURS = _pairs("""
grass=green, snow=white, coal=black, blood=red, the clear sky=blue, milk=white, a lemon=yellow, a ripe tomato=red
a carrot=orange, a banana=yellow, chocolate=brown, a plum=purple, an elephant=grey, a flamingo=pink, a frog=green, a crow=black
a fire engine=red, a polar bear=white, a spinach leaf=green, the sun=yellow, an emerald=green, a ruby=red, a sapphire=blue, a pumpkin=orange
""")
COLOURS_ZH = _pairs(
    "草=绿色, 雪=白色, 煤=黑色, 血=红色, 天空=蓝色, 牛奶=白色, 柠檬=黄色, 番茄=红色, 胡萝卜=橙色, 香蕉=黄色, 大象=灰色, 乌鸦=黑色"
)
PAST = _pairs("""
go=went, eat=ate, see=saw, take=took, give=gave, come=came, run=ran, sing=sang, swim=swam, drink=drank
write=wrote, drive=drove, speak=spoke, break=broke, choose=chose, fly=flew, grow=grew, know=knew, throw=threw, draw=drew
buy=bought, bring=brought, think=thought, teach=taught, catch=caught, sleep=slept, keep=kept, find=found, tell=told, sell=sold
make=made, say=said, sit=sat, stand=stood, win=won, begin=began, build=built, send=sent, lose=lost, feel=felt
""")
PLURALS = _pairs("""
mouse=mice, child=children, man=men, woman=women, foot=feet, tooth=teeth, goose=geese, ox=oxen, leaf=leaves, knife=knives
wolf=wolves, life=lives, city=cities, baby=babies, box=boxes, bus=buses, potato=potatoes, person=people, loaf=loaves, half=halves
""")
MADE_FROM = _pairs("""
Cheese=milk, Bread=flour, Wine=grapes, Paper=wood, Glass=sand, Chocolate=cocoa, Wool=sheep hair, Tofu=soybeans
Butter=cream, Honey=nectar, Cider=apples, Leather=animal skin, Jam=fruit, Steel=iron, Silk=cocoons, Ketchup=tomatoes
""")
JOBS = _pairs("""
baker=bakes bread, teacher=teaches children, doctor=heals the sick, farmer=grows food, pilot=flies planes, painter=paints pictures
tailor=sews clothes, butcher=cuts meat, carpenter=works with wood, fisherman=catches fish, judge=decides in court, author=writes books
barber=cuts hair, gardener=looks after plants, miner=digs for coal, sailor=works on a ship, actor=plays a part, dentist=cares for teeth
""")
HOW_MANY = _pairs("""
days in a week=seven, months in a year=twelve, hours in a day=twenty-four, minutes in an hour=sixty, seconds in a minute=sixty
seasons in a year=four, sides in a triangle=three, sides in a square=four, wheels on a car=four, strings on a violin=four
letters in the alphabet=twenty-six, fingers on a hand=five, players in a football team=eleven, colours in a rainbow=seven
planets in the solar system=eight, cents in a dollar=one hundred, wheels on a bicycle=two, hands on a clock=two
""")
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
DAYS_ZH = "星期一 星期二 星期三 星期四 星期五 星期六 星期日".split()
MONTHS_ZH = "一月 二月 三月 四月 五月 六月 七月 八月 九月 十月 十一月 十二月".split()

# everyday nouns for lists, with a Chinese word each
WORDS = _pairs("""
apple=苹果, bread=面包, cake=蛋糕, rice=米饭, egg=鸡蛋, fish=鱼, soup=汤, tea=茶, salt=盐, honey=蜂蜜
dog=狗, cat=猫, horse=马, cow=牛, sheep=羊, bird=鸟, bear=熊, lion=狮子, duck=鸭子, frog=青蛙
sun=太阳, moon=月亮, star=星星, rain=雨, snow=雪, wind=风, cloud=云, river=河, lake=湖, sea=海
tree=树, flower=花, grass=草, leaf=叶子, stone=石头, sand=沙子, wood=木头, gold=金子, fire=火, ice=冰
house=房子, door=门, window=窗户, table=桌子, chair=椅子, bed=床, lamp=灯, clock=钟, book=书, pen=笔
car=汽车, train=火车, ship=船, plane=飞机, bike=自行车, road=路, bridge=桥, school=学校, shop=商店, farm=农场
hat=帽子, coat=外套, shoe=鞋, bag=包, cup=杯子, plate=盘子, knife=刀, spoon=勺子, key=钥匙, ball=球
red=红, blue=蓝, green=绿, white=白, black=黑, hand=手, foot=脚, eye=眼睛, nose=鼻子, ear=耳朵
""")
SHE = "Ana Mia Lily Eva Nina Zoe Ruth Mei Sara Julia".split()
HE = "Tom Ben Sam Max Paul Leo Omar Wei Peter David".split()
NAMES = SHE + HE
NAMES_ZH = "小明 小红 小刚 小丽 小华 小美 小强 小芳 小军 小云".split()
# what people own and buy: plural, and Chinese with its measure word
GOODS = _pairs("""
apples=个苹果, eggs=个鸡蛋, books=本书, cups=个杯子, pens=支笔, hats=顶帽子, balls=个球, cakes=块蛋糕, lamps=盏灯, chairs=把椅子
keys=把钥匙, bags=个包, flowers=朵花, spoons=把勺子, plates=个盘子, stones=块石头
""")
PLACES = _pairs(
    "market=市场, shop=商店, farm=农场, school=学校, station=车站, park=公园, library=图书馆, museum=博物馆, bakery=面包店, harbour=港口"
)
PAINTS = _pairs("red=红色, blue=蓝色, green=绿色, white=白色, black=黑色, yellow=黄色, brown=棕色, grey=灰色")
INVENTED = """
Zubrovia Kaldoria Mirvania Tolmekia Brentalia Ostrovar Quendil Velmora Sarkania Drunmark Ilyrium Podrasia Fenwick Harlund Jorvania
Lemuvia Nostrana Pellucia Rundavia Skelmar Tavoria Ulmeria Vostland Wexovia Yarmenia Zandoria Arkenfeld Belvonia Cordavia Elbonia
Gallora Hestria Imbria Karpathia Lorvak Mandrovia Norwald Orlesia Prydonia Rivenia
""".split()
INVENTED_ZH = "祖布国 卡朵国 米万国 托梅国 奎丁国 维莫国 萨康国 伊里国 波拉国 芬威国 哈隆国 乔万国 雷姆国 诺斯国 佩鲁西国".split()
