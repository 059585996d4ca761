/** ISO 639-3 codes of the languages that franc-min, which has those of most speakers, tells from others. */
export const languages: readonly string[] = (
  'amh arb azj bel ben bho bos bul ceb ces ckb cmn deu ell eng fra fuv guj hau hin hms hnj hrv hun ibo ilo ind ita jav ' +
  'jpn kan kaz kin koi kor lin mad mag mai mal mar mya nld npi nya pan pbu pes plt pol por qug ron run rus sin skr som ' +
  'spa srp sun swe swh tam tel tgl tha tur ukr urd uzn vie yor zlm zul zyb'
).split(' ');
